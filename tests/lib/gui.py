#!/usr/bin/env python3
"""Drives a GTK program by its accessible objects (AT-SPI), within a D-Bus session of its own; run by Debian's Python.

    dbus-run-session -- gui.py SECONDS PROGRAM ARGUMENT...

A request a line, a JSON array: ["click", WINDOW, ROLE, NAME], ["text", WINDOW, ROLE, NAME, TEXT], ["choose", WINDOW, ROLE, NAME],
["double_click", ...], ["wait", ...], ["place", ...]; WINDOW and NAME are pieces of names, and an object counts that shows.  The answer is a line "answer" with a
JSON value, after at most SECONDS; {"error": ...} if there is none.
"""
import json
import subprocess
import sys
import time

import gi
gi.require_version("Atspi", "2.0")
from gi.repository import Atspi, GLib  # noqa: E402

SECONDS = float(sys.argv[1])


def walk(node):
    yield node
    for i in range(node.get_child_count()):
        child = node.get_child_at_index(i)
        if child:
            yield from walk(child)


def shows(node):
    return node.get_state_set().contains(Atspi.StateType.SHOWING)


def look(window, role, name):
    for top in walk(Atspi.get_desktop(0)):
        if top.get_role_name() in ("frame", "dialog", "alert", "window") and window in top.get_name() and shows(top):
            for node in walk(top):
                if node.get_role_name() == role and name in node.get_name() and shows(node):
                    return node
    return None


def find(window, role, name):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            node = look(window, role, name)
            if node:
                return node
        except GLib.Error:  # it has just gone
            pass
        time.sleep(0.1)
    raise LookupError(f"no {role} '{name}' in a window '{window}'")


def click(*where):
    return find(*where).do_action(0)


def choose(*where):
    """The last action of a cell takes it from a list."""
    node = find(*where)
    return node.do_action(node.get_n_actions() - 1)


def double_click(*where):
    x, y, width, height = place(*where)
    return Atspi.generate_mouse_event(x + width // 2, y + height // 2, "b1d")


def text(window, role, name, value):
    return find(window, role, name).set_text_contents(value)


def wait(*where):
    return find(*where).get_name()


def place(*where):
    box = find(*where).get_extents(Atspi.CoordType.SCREEN)
    return [box.x, box.y, box.width, box.height]


VERBS = {verb.__name__: verb for verb in (click, double_click, choose, text, wait, place)}


def main():
    with subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=sys.stderr) as program:
        for line in sys.stdin:
            verb, *arguments = json.loads(line)
            try:
                answer = VERBS[verb](*arguments)
            except (LookupError, GLib.Error) as err:
                answer = {"error": str(err)}
            print("answer", json.dumps(answer), flush=True)  # what the session's own programs say comes between
        program.terminate()


if __name__ == "__main__":
    main()
