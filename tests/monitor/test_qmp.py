#!/usr/bin/env python3
"""QMP: sessions, rubbish, several monitors at once, events, the schema, -daemonize."""
import os
import subprocess
import time
import unittest

import guest
import qmp
import tap


class Session(unittest.TestCase):
    def setUp(self):
        self.machine = qmp.Machine("-accel", "interp")
        self.addCleanup(self.machine.__exit__)
        self.qmp = self.machine.qmp

    def test_greeting(self):
        self.assertEqual(self.qmp.greeting["QMP"]["version"]["qemu"], {"major": 7, "minor": 2, "micro": 0})
        self.assertEqual(self.qmp.run("query-version")["qemu"]["major"], 7)

    def test_nothing_before_negotiation(self):
        with qmp.Machine("-accel", "interp") as machine:
            machine.qmp.close()
            with qmp.Qmp(machine.path, negotiate=False) as fresh:
                self.assertEqual(fresh.request({"execute": "query-status"})["error"]["class"], "CommandNotFound")
                self.assertEqual(fresh.request({"execute": "qmp_capabilities"}), {"return": {}})
                self.assertEqual(fresh.request({"execute": "qmp_capabilities"})["error"]["class"], "CommandNotFound")
                self.assertEqual(fresh.request({"execute": "query-status"})["return"]["status"], "prelaunch")

    def test_rubbish(self):
        for text in ("rubbish\n", "{]\n", "{\"execute\": \n}\n", "[1, 2]\n", "{}\n", "{\"execute\": 5}\n", "{\"execute\": \"stop\", \"arguments\": []}\n",
                     "{\"execute\": \"stop\", \"also\": 1}\n", "[" * 1000 + "\n", "\"text\"\n", "{\"a\": \"\\ud800\"}\n", "\x01\x02\n"):
            self.qmp.send(text)
            self.assertEqual(self.qmp.answer()["error"]["class"], "GenericError", text)
        self.qmp.socket.sendall(b"{\"half\": \xff{\"execute\": \"query-name\", \"id\": {\"any\": [1]}}")
        self.assertEqual(self.qmp.answer(), {"return": {}, "id": {"any": [1]}})
        self.assertEqual(self.qmp.run("query-status")["status"], "prelaunch")

    def test_arguments(self):
        for command, arguments, words in (("stop", {"x": 1}, "Parameter 'x' is unexpected"), ("nonsense", {}, "has not been found"),
                                          ("human-monitor-command", {}, "Parameter 'command-line' is missing"),
                                          ("human-monitor-command", {"command_line": 1}, "expected: string")):
            with self.assertRaisesRegex(qmp.Refused, words):
                self.qmp.run(command, **arguments)

    def test_in_pieces(self):
        for char in "{\"execute\": \"query-status\", \"id\": \"a } \\\" {\"}":
            self.qmp.send(char)
        self.assertEqual(self.qmp.answer()["id"], "a } \" {")

    def test_life_and_events(self):
        self.qmp.run("cont")
        self.assertEqual(self.qmp.run("query-status"), {"running": True, "singlestep": False, "status": "running"})
        self.qmp.run("stop")
        self.qmp.run("system_reset")
        self.assertEqual(self.qmp.run("query-status")["status"], "paused")
        self.qmp.run("system_powerdown")
        self.assertEqual([event["event"] for event in self.qmp.events], ["RESUME", "STOP", "RESET", "POWERDOWN"])
        self.assertLess(abs(self.qmp.events[0]["timestamp"]["seconds"] - time.time()), 60)
        self.qmp.run("quit")
        self.qmp.wait_event("SHUTDOWN")
        self.assertEqual(self.machine.guest.process.wait(20), 0)

    def test_text_commands(self):
        self.assertEqual(self.qmp.line("info status"), "VM status: paused (prelaunch)\n")
        self.assertIn("system_reset", self.qmp.line("help"))
        self.assertIn("unknown command", self.qmp.line("nonsense"))
        self.assertIn("too much", self.qmp.line("stop now"))


class Schema(unittest.TestCase):
    def test_complete(self):
        """Every type that is named is there, and everything has the members of its kind."""
        with qmp.Machine("-accel", "interp") as machine:
            entries = machine.qmp.run("query-qmp-schema")
            names = [entry["name"] for entry in entries]
            self.assertEqual(len(names), len(set(names)))
            for entry in entries:
                used = {"command": ["arg-type", "ret-type"], "event": ["arg-type"], "array": ["element-type"]}.get(entry["meta-type"], [])
                types = [entry[key] for key in used] + [member["type"] for member in entry.get("members", []) if "type" in member]
                types += [variant["type"] for variant in entry.get("variants", [])]
                for name in types:
                    self.assertIn(name, names, entry)
            commands = {entry["name"] for entry in entries if entry["meta-type"] == "command"}
            self.assertEqual(commands, {entry["name"] for entry in machine.qmp.run("query-commands")})


class Several(unittest.TestCase):
    def test_two_monitors(self):
        with guest.temporary_folder() as folder:
            second = os.path.join(folder, "second")
            with qmp.Machine("-accel", "interp", "-chardev", f"socket,id=m,path={second},server=on,wait=off", "-mon", "chardev=m,mode=control") as machine:
                with qmp.Qmp(second) as other:
                    other.run("cont")
                    machine.qmp.wait_event("RESUME")
                    machine.qmp.run("stop")
                    other.wait_event("STOP")
                with qmp.Qmp(second) as again:  # a session ends, the next begins anew
                    self.assertEqual(again.run("query-status")["status"], "paused")

    def test_shared_terminal(self):
        with guest.Guest("-accel", "interp", "-nographic", "-S", terminal=True) as vm:
            os.write(vm.fd, b"\x01c")
            os.write(vm.fd, b"info stax\x7ftus\r")
            vm.expect(r"VM status: paused \(prelaunch\)")
            os.write(vm.fd, b"q\r")
            self.assertEqual(vm.process.wait(20), 0)


class Daemon(unittest.TestCase):
    def test_background(self):
        with guest.temporary_folder() as folder:
            path, pidfile = os.path.join(folder, "qmp"), os.path.join(folder, "pid")
            subprocess.run([guest.ATOLL_VM, "-machine", "none,accel=kvm:tcg", "-qmp", f"unix:{path},server=on,wait=off", "-S", "-no-user-config",
                            "-nodefaults", "-nographic", "-daemonize", "-pidfile", pidfile], check=True, timeout=60)
            with open(pidfile, encoding="ascii") as text:
                pid = int(text.read())
            with qmp.Qmp(path) as probe:
                self.assertEqual(probe.run("query-target"), {"arch": "x86_64"})
                with self.assertRaisesRegex(qmp.Refused, "no machine"):
                    probe.run("system_reset")
                probe.run("quit")
            for _ in range(200):
                if not os.path.exists(f"/proc/{pid}") or not os.path.exists(pidfile):
                    break
                time.sleep(0.05)
            self.assertFalse(os.path.exists(pidfile))

    def test_failure_is_told(self):
        done = subprocess.run([guest.ATOLL_VM, "-daemonize", "-display", "none", "-bios", "/nonexistent"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("nonexistent", done.stderr)


if __name__ == "__main__":
    tap.main()
