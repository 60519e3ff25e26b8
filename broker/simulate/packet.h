/* packet.h - values to ZTF-like packets: one Avro container of one record, as the survey's two encoders write
 * it. The layout comes from schemas/ztf/alert_<version>.avsc, which travels in the binary. */
#ifndef NJ_SIMULATE_PACKET_H
#define NJ_SIMULATE_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include "../base/buffer.h"
#include "../base/error.h"

/* The fields of `candidate`; prv_candidates has a part of them. */
/* clang-format off */
#define NJ_SIM_CANDIDATE_FIELDS(F) \
    F(jd) F(fid) F(pid) F(diffmaglim) F(pdiffimfilename) F(programpi) F(programid) F(candid) F(isdiffpos) \
    F(tblid) F(nid) F(rcid) F(field) F(xpos) F(ypos) F(ra) F(dec) F(magpsf) F(sigmapsf) F(chipsf) \
    F(magap) F(sigmagap) F(distnr) F(magnr) F(sigmagnr) F(chinr) F(sharpnr) F(sky) F(magdiff) F(fwhm) \
    F(classtar) F(mindtoedge) F(magfromlim) F(seeratio) F(aimage) F(bimage) F(aimagerat) F(bimagerat) \
    F(elong) F(nneg) F(nbad) F(rb) F(ssdistnr) F(ssmagnr) F(ssnamenr) F(sumrat) F(magapbig) \
    F(sigmagapbig) F(ranr) F(decnr) F(sgmag1) F(srmag1) F(simag1) F(szmag1) F(sgscore1) F(distpsnr1) \
    F(ndethist) F(ncovhist) F(jdstarthist) F(jdendhist) F(scorr) F(tooflag) F(objectidps1) F(objectidps2) \
    F(sgmag2) F(srmag2) F(simag2) F(szmag2) F(sgscore2) F(distpsnr2) F(objectidps3) F(sgmag3) F(srmag3) \
    F(simag3) F(szmag3) F(sgscore3) F(distpsnr3) F(nmtchps) F(rfid) F(jdstartref) F(jdendref) \
    F(nframesref) F(rbversion) F(dsnrms) F(ssnrms) F(dsdiff) F(magzpsci) F(magzpsciunc) F(magzpscirms) \
    F(nmatches) F(clrcoeff) F(clrcounc) F(zpclrcov) F(zpmed) F(clrmed) F(clrrms) F(neargaia) \
    F(neargaiabright) F(maggaia) F(maggaiabright) F(exptime) F(drb) F(drbversion)
/* clang-format on */
/* The fields of fp_hists. */
/* clang-format off */
#define NJ_SIM_FORCED_FIELDS(F) \
    F(field) F(rcid) F(fid) F(pid) F(rfid) F(sciinpseeing) F(scibckgnd) F(scisigpix) F(magzpsci) \
    F(magzpsciunc) F(magzpscirms) F(clrcoeff) F(clrcounc) F(exptime) F(adpctdif1) F(adpctdif2) \
    F(diffmaglim) F(programid) F(jd) F(forcediffimflux) F(forcediffimfluxunc) F(procstatus) F(distnr) \
    F(ranr) F(decnr) F(magnr) F(sigmagnr) F(chinr) F(sharpnr)
/* clang-format on */

#define NJ_SIM_NUMBER(name) C_##name,
enum { NJ_SIM_CANDIDATE_FIELDS(NJ_SIM_NUMBER) NJ_SIM_N_CANDIDATE };
#undef NJ_SIM_NUMBER
#define NJ_SIM_NUMBER(name) FP_##name,
enum { NJ_SIM_FORCED_FIELDS(NJ_SIM_NUMBER) NJ_SIM_N_FORCED };
#undef NJ_SIM_NUMBER

typedef union nj_sim_value {
    double f;
    int64_t i;
    const char *s;
} nj_sim_value;

/* One candidate, earlier detection, upper limit or forced flux.
 * The schema says which member of the union counts. */
typedef struct nj_sim_record {
    nj_sim_value v[NJ_SIM_N_CANDIDATE]; /* indexed by C_... or FP_... */
    uint8_t null[NJ_SIM_N_CANDIDATE];
    char file[128]; /* room for pdiffimfilename */
} nj_sim_record;

typedef struct nj_sim_bytes {
    const uint8_t *data;
    size_t n;
    char name[64];
} nj_sim_bytes;

typedef struct nj_sim_packet {
    const char *object;
    int64_t candid;
    const nj_sim_record *candidate, *prv, *forced; /* forced is ignored by schemas that have no fp_hists */
    uint32_t n_prv, n_forced;                      /* 0 prv = null, never an empty array */
    nj_sim_bytes stamp[3];                         /* science, template, difference */
    uint64_t key;                                  /* of the sync marker and of the order of the
                                                    * header's keys */
} nj_sim_packet;

typedef struct nj_sim_encoder nj_sim_encoder;
/* version: "3.3" or "4.02". uwgo: as the archive's Go encoder writes (compact schema with sorted keys, null
 * first in every union, a fixed sync marker, header keys in either order); else as the stream's own (spaces,
 * random marker). Read-only once made; any number of threads. NULL with err. */
nj_sim_encoder *nj_sim_encoder_new(const char *version, int uwgo, nj_error *err);
void nj_sim_encoder_free(nj_sim_encoder *e);
/* Appends the packet to out; out->failed when memory runs short. */
void nj_sim_encode(const nj_sim_encoder *e, const nj_sim_packet *p, nj_buffer *out);

#endif
