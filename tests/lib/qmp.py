"""A QMP client, and answers checked against the schema that the machine itself shows."""
import json
import os
import socket
import time

import guest


class Refused(Exception):
    def __init__(self, error):
        super().__init__(error["desc"])
        self.kind = error["class"]


class Qmp:
    def __init__(self, path, negotiate=True, seconds=10):
        end = time.monotonic() + seconds * guest.PATIENCE
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                break
            except OSError:
                self.socket.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        self.socket.settimeout(seconds * guest.PATIENCE)
        self.lines = self.socket.makefile("r")  # not "rw": a write() would throw away what was read ahead
        self.greeting = self.read()
        self.events = []
        self.types = None
        if negotiate:
            self.run("qmp_capabilities")

    def close(self):
        self.lines.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def read(self):
        line = self.lines.readline()
        if not line:
            raise EOFError("the monitor has closed the connection")
        return json.loads(line)

    def answer(self):
        while True:
            message = self.read()
            if "event" not in message:
                return message
            self.events.append(message)

    def send(self, text):
        self.socket.sendall(text.encode())

    def request(self, message):
        self.send(json.dumps(message) + "\n")
        return self.answer()

    def run(self, command, *descriptors, **arguments):
        message = {"execute": command, "id": command}
        if arguments:
            message["arguments"] = {key.replace("_", "-") if not key.endswith("_") else key[:-1]: value for key, value in arguments.items()}
        data = (json.dumps(message) + "\n").encode()
        if descriptors:
            socket.send_fds(self.socket, [data], descriptors)
        else:
            self.socket.sendall(data)
        answer = self.answer()
        if answer.get("id") != command:
            raise AssertionError(f"the answer to {command} has another id: {answer}")
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["return"]

    def line(self, text):
        """What the text monitor says."""
        return self.run("human-monitor-command", command_line=text)

    def wait_event(self, name, seconds=20):
        end = time.monotonic() + seconds * guest.PATIENCE
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            if time.monotonic() > end:
                raise AssertionError(f"no event {name}")
            message = self.read()
            if "event" in message:
                self.events.append(message)

    # ---- the schema

    def schema(self):
        if self.types is None:
            self.types = {entry["name"]: entry for entry in self.run("query-qmp-schema")}
        return self.types


class Machine:
    """An atoll-vm with a QMP socket, stopped unless told otherwise."""

    def __init__(self, *args, paused=True):
        self.folder = guest.temporary_folder()
        self.path = os.path.join(self.folder.name, "qmp")
        stop = ["-S"] if paused else []
        self.guest = guest.Guest("-display", "none", "-nodefaults", *stop, "-qmp", f"unix:{self.path},server=on,wait=off", *args)
        try:
            self.qmp = Qmp(self.path)
        except OSError:
            self.guest._read(1)
            self.guest.__exit__()
            raise AssertionError(f"atoll-vm does not answer: {self.guest.text}") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.qmp.close()
        self.guest.__exit__()
        self.folder.cleanup()
