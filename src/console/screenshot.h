#pragma once
#include "console/display.h"
/* screenshot.h - the screen as a picture in a file. */
typedef enum ScreenshotFormat { SCREENSHOT_PPM, SCREENSHOT_PNG } ScreenshotFormat;

bool display_screenshot(Display *d, const char *path, ScreenshotFormat format, GError **err);
/* The same into memory: a new array. */
GByteArray *display_picture(Display *d, ScreenshotFormat format, GError **err);
