/* post_card.c - the card that shows what firmware writes to port 80h while it starts: its power-on self-test codes. */
#include "console/chardev.h"
#include "devices/misc/misc.h"
#include "machine/machine.h"

typedef struct PostCard {
    Device dev;
    char *chardev;
    uint32_t iobase;
    uint8_t code; /* the last one: what the two digits of a real card show */
    Chardev *chr;
} PostCard;

static uint64_t post_read(Device *d, uint64_t off, unsigned size) { return ((PostCard *)d)->code; }

static void post_write(Device *d, uint64_t off, unsigned size, uint64_t v)
{
    PostCard *p = (PostCard *)d;
    char text[8];
    p->code = v;
    int n = g_snprintf(text, sizeof(text), "%02x\r\n", p->code);
    if (p->chr)
        chardev_write(p->chr, (const uint8_t *)text, n);
}

static bool post_realize(Device *d, GError **err)
{
    PostCard *p = (PostCard *)d;
    if (p->chardev)
        p->chr = machine_claim_backend(d->machine, BACKEND_CHARDEV, p->chardev, d, err);
    return p->chr || !p->chardev;
}

static void post_unrealize(Device *d)
{
    PostCard *p = (PostCard *)d;
    if (p->chr)
        machine_release_backend(d->machine, BACKEND_CHARDEV, p->chardev);
}

static const Field post_fields[] = {
    { F(PostCard, chardev), .role = FIELD_PROP, .doc = "id of the chardev that shows each code as a line" },
    { F(PostCard, iobase), .role = FIELD_PROP, .reset = 0x80, .max = 0xffff, .doc = "the port" },
    { F(PostCard, code), .doc = "the last code written" },
    { FO(PostCard, chr), .role = FIELD_HOST },
    DEVICE_FIELDS_END,
};
static const WindowOps post_ops = { post_read, post_write, 1, 1 };
static const WindowDecl post_windows[] = { { "port", SPACE_PIO, 1, &post_ops }, { .name = NULL } };

const DeviceType isa_post_card_type = {
    .name = "isa-post-card",
    .summary = "shows firmware's power-on self-test codes",
    .spec = "IBM PC AT Technical Reference: port 80h, manufacturing checkpoint",
    .size = sizeof(PostCard),
    .version = 1,
    .fields = post_fields,
    .windows = post_windows,
    .realize = post_realize,
    .unrealize = post_unrealize,
};
