"""What the tests of disk images share: running programs, data, and workloads in our words and qemu-io's."""
import random
import subprocess


def call(*args, text=None, ok=True):
    result = subprocess.run([str(arg) for arg in args], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ok and result.returncode:
        raise AssertionError(f"{' '.join(map(str, args))}: {result.returncode}\n{result.stdout[-2000:]}")
    return result.stdout


def content(path):
    with open(path, "rb") as file:
        return file.read()


def random_data(seed, size):
    """Holes, repeating text and noise."""
    rand, data = random.Random(seed), bytearray(size)
    for _ in range(24):
        at, length = rand.randrange(size), rand.randrange(1, 200000)
        piece = rand.randbytes(length) if rand.random() < .4 else (b"%d lines of text\n" % at) * (length // 16)
        data[at:at + length] = piece[:max(0, size - at)][:length]
    return bytes(data[:size])


def steps(rand, count, size):
    """One workload in both languages: ours (blkio run) and qemu-io's."""
    ours, theirs = [], []
    for _ in range(count):
        off = rand.randrange(size // 512) * 512
        length = min(size - off, rand.choice([512, 1024, 4096, 65536, rand.randrange(1, 300) * 512]))
        byte, kind = rand.randrange(1, 256), rand.choice(["write"] * 6 + ["zero", "unmap", "flush"])
        ours.append(f"{kind} {off} {length} {byte}")
        theirs.append({"write": f"write -P {byte} {off} {length}", "zero": f"write -z {off} {length}", "unmap": f"write -zu {off} {length}",
                       "flush": "flush"}[kind])
    return "\n".join(ours) + "\n", "\n".join(theirs) + "\nquit\n"
