#ifndef GOLDEN_H
#define GOLDEN_H
#include "net.h"

#define GOLDEN_IMAGES @IMAGES@

/* Held-out images, and what the reference computes of them. */
extern const uint8_t golden_images[GOLDEN_IMAGES][NET_INPUT_BYTES];
extern const net_output golden_outputs[GOLDEN_IMAGES][NET_OUTPUTS];
extern const uint32_t golden_hashes[GOLDEN_IMAGES][NET_MAPS]; /* FNV-1a of each packed map */
#endif
