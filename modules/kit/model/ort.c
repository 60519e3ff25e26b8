#include "engine.h"
int nj_engine_ort(nj_model *model, const nj_model_options *options, nj_model_error *err) { (void)options; return nj_model_fail(err, "%s: ONNX Runtime is not built in", model->info.folder); }
