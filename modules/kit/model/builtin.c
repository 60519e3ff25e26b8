#include "engine.h"
int nj_engine_builtin(nj_model *model, const nj_model_options *options, nj_model_error *err) { (void)options; return nj_model_fail(err, "%s: no forest", model->info.folder); }
