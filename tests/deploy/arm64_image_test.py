"""I1: the root of the image for arm64 answers under qemu with the tokens of this machine's binary.

    arm64_image_test.py SHOAL_BINARY SHOAL_BINARY_FOR_ARM64

The second binary runs with the libraries of its image and no others. Both answer one prompt, greedily.
"""
import subprocess
import sys
import tempfile
import unittest

from tools import MODEL, completion

SHOAL, SHOAL_ARM64 = sys.argv[1:3]
QEMU = ["qemu-aarch64-static", "-cpu", "max,pauth-impdef=on"]


def answer(*command):
    process = subprocess.Popen([*command, "up", MODEL, "--workers", "0", "--listen", "127.0.0.1:0"],
                               stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().split()[-1].removeprefix("http://")
        return completion(address, n_tokens=32, model="tales-moe", timeout=600)
    finally:
        process.terminate()
        process.communicate()


class Arm64ImageTest(unittest.TestCase):
    def test_i1_both_answer_with_the_same_tokens(self):
        with tempfile.TemporaryDirectory(prefix="shoal-arm64-") as folder:
            subprocess.run(["deploy/docker/rootfs.sh", SHOAL_ARM64, f"{folder}/image"], check=True)
            root = f"{folder}/image/root"
            text = answer(*QEMU, "-L", root, f"{root}/usr/bin/shoal")
        self.assertGreater(len(text), 20)
        self.assertEqual(text, answer(SHOAL))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
