#pragma once
/* events.h - what a machine says of its own accord over QMP. */
typedef struct QapiEvent {
    const char *name, *members, *doc;
} QapiEvent;
extern const QapiEvent qapi_events[]; /* ends with a row without a name */
