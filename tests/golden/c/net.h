/* golden
   Made by actpress; actpress VERSION, 2 maps, arena 500 bytes. */
#ifndef NET_H
#define NET_H
#include <stdint.h>

#define NET_ARENA_BYTES 500u  /* all that the network needs beside the stack */
#define NET_INPUT_BYTES 144u  /* 12 rows, 12 pixels, 1 channels, one byte a value */
#define NET_OUTPUTS 3u
#define NET_MAPS 2u          /* that are stored, the image not counted */

/* A value x of the image, as the float network takes it, is the byte
   round(x / NET_INPUT_SCALE) + NET_INPUT_ZERO, from 0 to 255. */
#define NET_INPUT_SCALE 1.0
#define NET_INPUT_ZERO 0

/* Outputs are logits; times NET_LOGIT_SCALE they are the float network's. */
typedef int32_t net_output;
#define NET_LOGIT_SCALE 1.0

/* Where the image goes, NET_INPUT_BYTES: row by row, pixel by pixel, channel by channel. */
uint8_t *net_input(void);

/* Computes the outputs. The image is overwritten. */
void net_run(net_output outputs[NET_OUTPUTS]);

#ifdef NET_WATCH
/* Is shown every stored map once it is complete, in the order of memory.md. */
void net_watch(uint32_t map, const uint8_t *packed, uint32_t bytes);
#endif
#endif
