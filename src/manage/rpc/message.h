#pragma once
#include <glib.h>
#include <stdint.h>
/* message.h - the frame that server and client share: u32 length (with itself), the header's words, then XDR. */
typedef enum MessageType { MESSAGE_CALL, MESSAGE_REPLY, MESSAGE_EVENT, MESSAGE_STREAM, MESSAGE_CALL_FDS, MESSAGE_REPLY_FDS, MESSAGE_HOLE } MessageType;
typedef enum MessageStatus { STATUS_OK, STATUS_ERROR, STATUS_CONTINUE } MessageStatus;

/* In the order of the wire, behind the length. */
typedef struct Header {
    uint32_t program, version;
    int32_t procedure;
    uint32_t type, serial, status;
} Header;
enum { LENGTH_BYTES = 4, HEADER_BYTES = 24, KEEPALIVE_PING = 1, KEEPALIVE_PONG = 2 };

/* The letters (xdr.h) of an error's body: code, domain, message, level, domain, three strings, two numbers, network. */
#define ERROR_LETTERS "iioi?Doooii?N"

/* A whole message with its length; `body` may be NULL. */
GByteArray *message_new(const Header *h, const void *body, gsize bytes);
/* The header from its bytes. */
Header message_header(const uint8_t *bytes);
