/* message.c - a message's frame to and from bytes. */
#include "manage/rpc/message.h"

#include "base/be.h"

GByteArray *message_new(const Header *h, const void *body, gsize bytes)
{
    GByteArray *m = g_byte_array_sized_new(LENGTH_BYTES + HEADER_BYTES + bytes);
    const uint32_t words[] = { LENGTH_BYTES + HEADER_BYTES + bytes, h->program, h->version, h->procedure, h->type, h->serial, h->status };
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
        be_put(m, words[i], 4);
    if (bytes)
        g_byte_array_append(m, body, bytes);
    return m;
}

Header message_header(const uint8_t *b)
{
    return (Header){ be_get(b, 4), be_get(b + 4, 4), be_get(b + 8, 4), be_get(b + 12, 4), be_get(b + 16, 4), be_get(b + 20, 4) };
}
