#pragma once
/*
 * late_link.h - libraries that a program is linked with, but which are loaded when one of their functions is called first.  Callers
 * call the functions as ever: the linker leads them here (--wrap), to a jump through a pointer that is bound late.  For libraries that
 * need not be there at all there is late.h.
 */

/* Binds everything now: who is about to lose sight of the libraries calls this. */
void late_link_all(void);
