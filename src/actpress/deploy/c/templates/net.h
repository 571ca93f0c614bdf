/* @TITLE@
   Made by actpress; @SUMMARY@ */
#ifndef NET_H
#define NET_H
#include <stdint.h>

#define NET_ARENA_BYTES @ARENA@u  /* all that the network needs beside the stack */
#define NET_INPUT_BYTES @INPUT@u  /* @INPUT_SHAPE@, one byte a value */
#define NET_OUTPUTS @OUTPUTS@u
#define NET_MAPS @MAPS@u          /* that are stored, the image not counted */

/* A value x of the image, as the float network takes it, is the byte
   round(x / NET_INPUT_SCALE) + NET_INPUT_ZERO, from 0 to 255. */
#define NET_INPUT_SCALE @INPUT_SCALE@
#define NET_INPUT_ZERO @INPUT_ZERO@

/* @OUTPUT_MEANING@ */
typedef @OUTPUT_TYPE@ net_output;
@SCALE@
/* Where the image goes, NET_INPUT_BYTES: row by row, pixel by pixel, channel by channel. */
uint8_t *net_input(void);

/* Computes the outputs. The image is overwritten. */
void net_run(net_output outputs[NET_OUTPUTS]);

#ifdef NET_WATCH
/* Is shown every stored map once it is complete, in the order of memory.md. */
void net_watch(uint32_t map, const uint8_t *packed, uint32_t bytes);
#endif
#endif
