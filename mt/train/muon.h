/* Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"): a step of
 * a matrix is its momentum with all singular values made about 1. */
#ifndef DG_TRAIN_MUON_H
#define DG_TRAIN_MUON_H

#include <stddef.h>

typedef struct dg_muon_step {
  float lr, momentum, weight_decay; /* decoupled */
  float gradient_scale;             /* clipping factor */
} dg_muon_step;

size_t dg_muon_scratch(size_t rows, size_t cols); /* floats that an update takes */
/* w and its momentum m [rows,cols] updated from g, by one thread. Steps are as large as AdamW's
 * (Liu et al. 2025, "Muon is Scalable for LLM Training"), so that one lr serves both. */
void dg_muon(const dg_muon_step *s, size_t rows, size_t cols, const float *g, float *w, float *m,
             float *scratch);

#endif
