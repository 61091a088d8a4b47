/* The output projection: the base's classes, then an adapter's new pieces. Private to
 * mt/model. */
#ifndef DG_MODEL_OUTPUT_H
#define DG_MODEL_OUTPUT_H

#include "mt/model/layers.h"

/* Decoder states [rows, d_model] to logits [rows, dg_network_classes]. `base` is the
 * model's output, or some of its rows. */
void dg_output_forward(dg_pass *p, const dg_linear *base, size_t rows, const float *x,
                       float *logits);
/* dx = the gradient of the states; adds those of weights. */
void dg_output_backward(dg_pass *p, const dg_linear *base, size_t rows, const float *x,
                        const float *d_logits, float *dx);

#endif
