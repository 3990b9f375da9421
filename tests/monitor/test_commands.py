#!/usr/bin/env python3
"""Every query answers as its type says, and the commands do what they say."""
import os
import unittest

import guest
import qmp
import tap

NEEDS_ARGUMENTS = {"query-cpu-model-expansion"}


class Queries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.machine = qmp.Machine("-accel", "interp", "-smp", "2", "-device", "virtio-rng-pci,id=r0", "-device", "virtio-balloon-pci", "-serial", "null")
        cls.addClassCleanup(cls.machine.__exit__)
        cls.qmp = cls.machine.qmp

    def test_all(self):
        """Their types are checked by the program itself, which answers with an error where they do not fit."""
        names = [command["name"] for command in self.qmp.run("query-commands")]
        for name in names:
            if name.startswith("query-") and name not in NEEDS_ARGUMENTS:
                self.qmp.run(name)

    def test_typed(self):
        for line in [line.split(" --")[0].split(" [")[0] for line in self.qmp.line("help info").splitlines()]:
            self.assertNotIn("Error", self.qmp.line(line.split("|")[0]), line)
        self.assertRegex(self.qmp.line("info registers 1"), r"CPU#1\nRAX=")
        self.assertRegex(self.qmp.line("info mtree"), r"00000000fffc0000-00000000ffffffff rom firmware")
        self.assertRegex(self.qmp.line("info qtree"), r'dev: virtio-rng-pci, id "r0"')
        self.assertRegex(self.qmp.line("info pci"), r"1af4:1005")
        self.assertRegex(self.qmp.line("xp /2xb 0xffff0"), r"00000000000ffff0: 0xea 0x5b")
        self.assertRegex(self.qmp.line("xp/1i 0xffff0"), r"0x00000000000ffff0: jmp ")
        self.assertRegex(self.qmp.line("xp/2c 0xffff5"), r"00000000000ffff5: '\d' '\d'") # the BIOS's date
        self.assertRegex(self.qmp.line("x/3ub 0xffff0"), r"00000000000ffff0: 234 91 \d+")
        self.assertRegex(self.qmp.line("xp/1db 0xffff0"), r": -22")
        self.assertRegex(self.qmp.line("x/q 0"), "a format is")
        self.assertRegex(self.qmp.line("x nowhere"), "an address is a number")
        self.assertRegex(self.qmp.line("xp/1xg 0x7000000000000000"), "no RAM at 0x7000000000000000")

    def test_sleep(self):
        self.assertEqual(self.qmp.run("query-current-machine"), {"wakeup-suspend-support": False})
        with self.assertRaisesRegex(qmp.Refused, "not supported by this guest"):
            self.qmp.run("system_wakeup")

    def test_set_property(self):
        balloon = next(entry["name"] for entry in self.qmp.run("qom-list", path="/machine/peripheral-anon") if "balloon" in entry["type"])
        path = f"/machine/peripheral-anon/{balloon}"
        self.assertEqual(self.qmp.line(f"qom-set {path} guest-stats-polling-interval 7"), "")
        self.assertEqual(self.qmp.run("qom-get", path=path, property="guest-stats-polling-interval"), 7)
        self.assertIn("no value", self.qmp.line(f"qom-set {path} guest-stats-polling-interval what"))

    def test_cpus(self):
        cpus = self.qmp.run("query-cpus-fast")
        self.assertEqual([cpu["cpu-index"] for cpu in cpus], [0, 1])
        for cpu in cpus:
            self.assertTrue(os.path.exists(f"/proc/{self.machine.guest.process.pid}/task/{cpu['thread-id']}"))
            self.assertIs(self.qmp.run("qom-get", path=cpu["qom-path"], property="realized"), True)

    def test_objects(self):
        self.assertIn({"name": "r0", "type": "child<virtio-rng-pci>"}, self.qmp.run("qom-list", path="/machine/peripheral"))
        self.assertEqual(self.qmp.run("qom-get", path="/machine/peripheral/r0", property="period"), 65536)
        with self.assertRaisesRegex(qmp.Refused, "not found"):
            self.qmp.run("qom-get", path="/machine/peripheral/r0", property="nonsense")
        with self.assertRaisesRegex(qmp.Refused, "not found"):
            self.qmp.run("qom-list", path="/machine/peripheral/none")

    def test_models(self):
        def expand(**props):
            return self.qmp.run("query-cpu-model-expansion", type="static", model={"name": "max", "props": props})["model"]["props"]
        self.assertTrue(expand()["sse2"])
        self.assertFalse(expand(sse2=False)["sse2"])
        models = {model["name"]: model for model in self.qmp.run("query-cpu-definitions")}
        self.assertEqual([models[name].get("alias-of") for name in ("Nehalem", "Nehalem-IBRS", "Nehalem-v2", "max")], ["Nehalem-v1", "Nehalem-v2", None, None])
        self.assertEqual([name for name, model in models.items() if model["static"]], ["base"])
        self.assertEqual([name for name, model in models.items() if not model["migration-safe"]], ["max", "host"])
        self.assertEqual((models["kvm64"]["unavailable-features"], models["Haswell-v1"]["unavailable-features"]), ([], ["hle", "rtm"]))
        model = self.qmp.run("query-cpu-model-expansion", type="full", model={"name": "Haswell", "props": {"family": 15, "model-id": "a, b", "sse4-1": False}})["model"]
        self.assertEqual([model["name"], *(model["props"][key] for key in ("family", "model-id", "sse4.1", "hle"))], ["Haswell", 15, "a, b", False, True])
        with self.assertRaisesRegex(qmp.Refused, "no CPU model 'Haswel'"):
            self.qmp.run("query-cpu-model-expansion", type="full", model={"name": "Haswel"})

    def test_chosen_model(self):
        """A machine's processor says what it is and what it lacks; what was asked for in vain is named once."""
        with qmp.Machine("-accel", "interp", "-cpu", "Haswell,hv-relaxed=on,hv_time,-aes") as machine:
            get = lambda name: machine.qmp.run("qom-get", path="/machine/unattached/device[0]", property=name)
            self.assertEqual([get(name) for name in ("type", "unavailable-features", "hle", "aes", "movbe", "model-id")],
                             ["Haswell-x86_64-cpu", ["hle", "rtm"], False, False, True, "Intel Core Processor (Haswell)"])
            machine.guest.expect("warning: -cpu Haswell: this accelerator and host lack hle, rtm, left out; without effect: hv-relaxed, hv_time")

    def test_types_of_devices(self):
        names = {entry["name"] for entry in self.qmp.run("qom-list-types", implements="device")}
        self.assertIn("virtio-rng-pci", names)
        for name in names:
            self.qmp.run("device-list-properties", typename=name)
        for name in ("PIIX4_PM", "ICH9-LPC"):
            properties = {entry["name"] for entry in self.qmp.run("device-list-properties", typename=name)}
            self.assertLessEqual({"disable_s3", "disable_s4"}, properties)
        with self.assertRaises(qmp.Refused) as caught:
            self.qmp.run("device-list-properties", typename="flux-capacitor")
        self.assertEqual(caught.exception.kind, "DeviceNotFound")


class Objects(unittest.TestCase):
    def test_add_and_remove(self):
        with qmp.Machine("-accel", "interp", "-object", "memory-backend-ram,id=pc.ram,size=128M", "-machine", "pc,memory-backend=pc.ram") as machine:
            run = machine.qmp.run
            run("object-add", qom_type="secret", id="s0", data="hidden")
            with self.assertRaisesRegex(qmp.Refused, "duplicate"):
                run("object-add", qom_type="secret", id="s0", data="hidden")
            with self.assertRaisesRegex(qmp.Refused, "'colour' is unexpected"):
                run("object-add", qom_type="rng-random", id="r0", colour="red")
            run("object-del", id="s0")
            with self.assertRaisesRegex(qmp.Refused, "not found"):
                run("object-del", id="s0")
            with self.assertRaisesRegex(qmp.Refused, "in use"):
                run("object-del", id="pc.ram")
            self.assertEqual(run("query-memdev"), [{"id": "pc.ram", "size": 128 << 20}])


class Screens(unittest.TestCase):
    def test_vnc(self):
        with guest.temporary_folder() as folder:
            with qmp.Machine("-accel", "interp", "-vga", "std", "-vnc", f"unix:{folder}/vnc,password=on") as machine:
                info = machine.qmp.run("query-vnc")
                self.assertEqual((info["enabled"], info["family"], info["auth"], info["clients"]), (True, "unix", "vnc", []))
                machine.qmp.run("set_password", protocol="vnc", password="secret")
                machine.qmp.run("expire_password", protocol="vnc", time="+60")
                with self.assertRaisesRegex(qmp.Refused, "time is now"):
                    machine.qmp.run("expire_password", protocol="vnc", time="soon")
        with qmp.Machine("-accel", "interp") as machine:
            self.assertEqual(machine.qmp.run("query-vnc"), {"enabled": False})


class Blocks(unittest.TestCase):
    def test_queries(self):
        with guest.temporary_folder() as folder:
            path = os.path.join(folder, "disk.img")
            with open(path, "wb") as out:
                out.truncate(1 << 20)
            with qmp.Machine("-accel", "interp", "-blockdev", f"driver=raw,node-name=top,file.driver=file,file.filename={path},file.node-name=bottom",
                             "-device", "virtio-blk-pci,drive=top,id=d0") as machine:
                disk, = machine.qmp.run("query-block")
                self.assertEqual((disk["qdev"], disk["inserted"]["node-name"], disk["inserted"]["image"]["virtual-size"]),
                                 ("/machine/peripheral/d0/virtio-backend", "top", 1 << 20))
                self.assertEqual(sorted(node["node-name"] for node in machine.qmp.run("query-named-block-nodes")), ["bottom", "top"])
                self.assertIn("disk.img", machine.qmp.line("info block"))


class Descriptors(unittest.TestCase):
    """They come over the socket beside a command."""

    def setUp(self):
        self.machine = qmp.Machine("-accel", "interp")
        self.addCleanup(self.machine.__exit__)
        self.run_ = self.machine.qmp.run
        self.ours, self.theirs = os.pipe()
        self.addCleanup(os.close, self.ours)
        os.set_blocking(self.ours, False)

    def give(self, command, **arguments):
        try:
            return self.run_(command, self.theirs, **arguments)
        finally:
            self.theirs = os.close(self.theirs)

    def assert_closed(self):
        self.assertEqual(os.read(self.ours, 1), b"")

    def assert_open(self):
        self.assertRaises(BlockingIOError, os.read, self.ours, 1)

    def test_names(self):
        self.give("getfd", fdname="pipe")
        self.assert_open()
        self.run_("closefd", fdname="pipe")
        self.assert_closed()
        for command in ("closefd", "getfd"):
            self.assertRaises(qmp.Refused, self.run_, command, fdname="pipe")

    def test_a_name_is_no_number(self):
        self.assertRaisesRegex(qmp.Refused, "digit", self.give, "getfd", fdname="5")
        self.assert_closed()

    def test_sets(self):
        info = self.give("add-fd", fdset_id=3, opaque="log")
        self.assertEqual(self.run_("query-fdsets"), [{"fdset-id": 3, "fds": [{"fd": info["fd"], "opaque": "log"}]}])
        self.assertRaises(qmp.Refused, self.run_, "remove-fd", fdset_id=3, fd=info["fd"] + 1)
        self.assert_open()
        self.run_("remove-fd", fdset_id=3)
        self.assertEqual(self.run_("query-fdsets"), [])
        self.assert_closed()

    def test_a_set_of_its_own(self):
        self.assertEqual(self.give("add-fd")["fdset-id"], 0)

    def test_a_host_end_of_a_network(self):
        self.assertRaisesRegex(qmp.Refused, "has not been found", self.run_, "netdev_add", type="tap", id="n0", fd="pipe")
        self.give("getfd", fdname="pipe")
        self.assertRaisesRegex(qmp.Refused, "no tap interface", self.run_, "netdev_add", type="tap", id="n0", fd="pipe")
        self.assert_closed()


class Devices(unittest.TestCase):
    def test_before_the_start(self):
        with qmp.Machine("-accel", "interp") as machine:
            machine.qmp.run("device_add", driver="virtio-rng-pci", id="late", bus="pci.0", addr="0x7")
            self.assertIn("late", [entry["name"] for entry in machine.qmp.run("qom-list", path="/machine/peripheral")])
            with self.assertRaisesRegex(qmp.Refused, "already in use"):
                machine.qmp.run("device_add", driver="virtio-rng-pci", id="late")
            with self.assertRaisesRegex(qmp.Refused, "no property 'colour'"):
                machine.qmp.run("device_add", driver="virtio-rng-pci", colour="red")
            with self.assertRaisesRegex(qmp.Refused, "part of the board"):
                machine.qmp.run("device_add", driver="PIIX3")
            machine.qmp.run("cont")


if __name__ == "__main__":
    tap.main()
