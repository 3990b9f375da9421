/*
 * telnet.c - the telnet protocol (RFC 854) on a socket: the other end is asked to send each key at once and not to show it
 * itself (ECHO, SUPPRESS-GO-AHEAD; RFC 857, 858), and both ends to leave bytes alone (BINARY; RFC 856).
 */
#include "console/backend.h"

enum { SE = 240, BRK = 243, SB = 250, WILL = 251, DO = 253, DONT = 254, IAC = 255 };
enum { BINARY = 0, ECHO = 1, SUPPRESS_GO_AHEAD = 3 };

void telnet_hello(Telnet *t, FdPort *port)
{
    static const uint8_t hello[] = { IAC, WILL, ECHO, IAC, WILL, SUPPRESS_GO_AHEAD, IAC, WILL, BINARY, IAC, DO, BINARY };
    *t = (Telnet){ 0 };
    fd_port_write(port, hello, sizeof(hello));
}

/* A byte after IAC.  True: it is data after all. */
static bool command_byte(Telnet *t, Chardev *c, uint8_t byte)
{
    t->state = TELNET_DATA;
    if (byte >= WILL && byte <= DONT)
        t->state = TELNET_OPTION;
    else if (byte == SB)
        t->state = TELNET_SUB;
    else if (byte == BRK)
        chardev_event(c, CHARDEV_BREAK);
    return byte == IAC;
}

/* True: a byte of data.  What the other end says of options needs no answer: we have named ours already. */
static bool next_byte(Telnet *t, Chardev *c, uint8_t byte)
{
    switch (t->state) {
    case TELNET_COMMAND:
        return command_byte(t, c, byte);
    case TELNET_OPTION:
        t->state = TELNET_DATA;
        return false;
    case TELNET_SUB:
        if (byte == IAC)
            t->state = TELNET_SUB_COMMAND;
        return false;
    case TELNET_SUB_COMMAND:
        t->state = byte == SE ? TELNET_DATA : TELNET_SUB;
        return false;
    default:
        if (byte != IAC)
            return true;
        t->state = TELNET_COMMAND;
        return false;
    }
}

size_t telnet_take(Telnet *t, Chardev *c, uint8_t *data, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (next_byte(t, c, data[i]))
            data[kept++] = data[i];
    return kept;
}

void telnet_write(FdPort *port, const uint8_t *data, size_t n)
{
    static const uint8_t iac = IAC;
    while (n) {
        size_t piece = 0;
        while (piece < n && data[piece++] != IAC)
            ;
        fd_port_write(port, data, piece);
        if (data[piece - 1] == IAC) /* said twice */
            fd_port_write(port, &iac, 1);
        data += piece;
        n -= piece;
    }
}
