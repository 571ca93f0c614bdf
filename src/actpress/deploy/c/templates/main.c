/* main IMAGE: prints the outputs of an image, a file of NET_INPUT_BYTES bytes as net.h says. */
#include <stdio.h>

#include "net.h"

int main(int count, char **arguments)
{
    static net_output outputs[NET_OUTPUTS];
    if (count != 2) {
        fprintf(stderr, "usage: %s IMAGE, a file of %u bytes\n", arguments[0], NET_INPUT_BYTES);
        return 2;
    }
    FILE *file = fopen(arguments[1], "rb");
    if (!file) {
        perror(arguments[1]);
        return 2;
    }
    const size_t read = fread(net_input(), 1, NET_INPUT_BYTES, file);
    const int more = fgetc(file) != EOF;
    fclose(file);
    if (read != NET_INPUT_BYTES || more) {
        fprintf(stderr, "%s: expected %u bytes\n", arguments[1], NET_INPUT_BYTES);
        return 2;
    }
    net_run(outputs);
@PRINT@    return 0;
}
