#!/usr/bin/python3
"""Lists the domains of a daemon, suspends one and hears of it, by GObject introspection."""
import sys

import gi

gi.require_version("Atoll", "1.0")
from gi.repository import Atoll, GLib  # noqa: E402

connection = Atoll.Connection.open_sync(sys.argv[1] if len(sys.argv) > 1 else None, Atoll.OpenFlags.NONE, None)
domains = connection.list_domains_sync(0, None)
for domain in domains:
    print(domain.get_id(), domain.get_name())
loop = GLib.MainLoop()


def on_event(_, domain, event, detail):
    print(f"event {event}.{detail} of {domain.get_name()}")
    loop.quit()


connection.watch_domains_sync(0, None)
connection.connect("domain-lifecycle", on_event)
domains[0].suspend(None, lambda domain, result: domain.suspend_finish(result))
loop.run()
domains[0].resume_sync(None)
try:
    connection.find_domain_sync("nothing", None)
except GLib.Error as error:
    assert error.matches(Atoll.manager_error_quark(), Atoll.ManagerError.NO_DOMAIN), error
    print("no such domain")
