/* dma_map.c - a list of guest memory ranges as host memory. */
#include "devices/dma_map.h"

#include "base/checked.h"
#include "machine/machine.h"

void dma_map_begin(DmaMap *m, Machine *machine, bool to_memory)
{
    *m = (DmaMap){ .machine = machine, .view = space_view(machine->memory), .to_memory = to_memory };
}

static void append(DmaMap *m, void *host, uint64_t gpa, uint64_t len)
{
    if (m->n == m->room) {
        m->room = m->room ? 2 * m->room : 8;
        m->iov = g_renew(struct iovec, m->iov, m->room);
        m->gpa = g_renew(uint64_t, m->gpa, m->room);
    }
    m->iov[m->n] = (struct iovec){ host, len };
    m->gpa[m->n++] = gpa;
    m->len += len;
}

bool dma_map_add(DmaMap *m, uint64_t gpa, uint64_t len)
{
    uint64_t end;
    if (!checked_add(gpa, len, &end))
        return false;
    while (len) {
        uint64_t piece = len;
        void *host = view_ram(m->view, gpa, &piece, m->to_memory);
        if (!host || !piece)
            return false;
        append(m, host, gpa, piece);
        gpa += piece;
        len -= piece;
    }
    return true;
}

void dma_map_end(DmaMap *m, uint64_t written)
{
    if (!m->view)
        return;
    for (unsigned i = 0; i < m->n && written && m->to_memory; i++) {
        uint64_t bytes = MIN(written, m->iov[i].iov_len);
        dma_written(m->machine, m->gpa[i], bytes);
        written -= bytes;
    }
    view_unref(m->view);
    g_free(m->iov);
    g_free(m->gpa);
    *m = (DmaMap){ 0 };
}
