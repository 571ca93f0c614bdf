#ifndef SEMIHOST_H
#define SEMIHOST_H

/* Ends the emulation with a status, 0 to 255. */
void semihost_exit(int status);
#endif
