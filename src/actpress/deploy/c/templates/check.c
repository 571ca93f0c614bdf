/* Runs the golden images: every output, and with NET_WATCH every stored map, must be as computed by
   the reference when this folder was made. Ends with status 0 only if all are. */
#include <string.h>

#include "console.h"
#include "golden.h"
#include "net.h"

#ifdef NET_WATCH
static uint32_t image_at, wrong_maps;

/* FNV-1a */
static uint32_t hash(const uint8_t *bytes, uint32_t count)
{
    uint32_t found = 2166136261u;
    for (; count; count--) found = (found ^ *bytes++) * 16777619u;
    return found;
}

void net_watch(uint32_t map, const uint8_t *packed, uint32_t bytes)
{
    if (hash(packed, bytes) == golden_hashes[image_at][map]) return;
    say("image ");
    say_number((int32_t)image_at);
    say(": another map ");
    say_number((int32_t)map);
    say("\n");
    wrong_maps++;
}
#endif

int main(void)
{
    static net_output outputs[NET_OUTPUTS];
    uint32_t wrong = 0;
    for (uint32_t image = 0; image < GOLDEN_IMAGES; image++) {
        memcpy(net_input(), golden_images[image], NET_INPUT_BYTES);
#ifdef NET_WATCH
        image_at = image;
#endif
        net_run(outputs);
        after_run();
        for (uint32_t i = 0; i < NET_OUTPUTS; i++) {
            if (outputs[i] == golden_outputs[image][i]) continue;
            say("image ");
            say_number((int32_t)image);
            say(": another output ");
            say_number((int32_t)i);
            say("\n");
            wrong++;
        }
    }
#ifdef NET_WATCH
    wrong += wrong_maps;
    say("maps and ");
#endif
    say("outputs of ");
    say_number(GOLDEN_IMAGES);
    say(wrong ? " images: NOT equal\n" : " images: equal\n");
    if (stack_used()) {
        say("stack ");
        say_number((int32_t)stack_used());
        say(" bytes\n");
    }
    return wrong != 0;
}
