"""What a process may still take: the least of machine, control groups and address space."""

import resource
import subprocess
import sys

import pytest

from tasks.memory import available_bytes

GIB = 2**30


@pytest.fixture
def machine(tmp_path):
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: {16 * 2**20} kB\nMemAvailable: {8 * 2**20} kB\nHugePages_Total: 0\n")
    (proc / "self" / "cgroup").write_text("0::/a/b\n")
    (proc / "self" / "status").write_text("Name: x\nVmSize:\t1048576 kB\n")
    (groups / "a" / "b").mkdir(parents=True)
    return proc, groups


def allow(folder, most, used, files=0):
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {files}\nactive_file 0\n")


def test_without_limits_it_is_what_the_machine_has(machine):
    assert available_bytes(*machine) == 8 * GIB


def test_a_control_group_above_counts_and_gives_back_its_file_pages(machine):
    proc, groups = machine
    allow(groups / "a" / "b", "max", 3 * GIB)
    allow(groups / "a", 4 * GIB, 3 * GIB)
    assert available_bytes(proc, groups) == GIB
    allow(groups / "a", 4 * GIB, 3 * GIB, files=2 * GIB)
    assert available_bytes(proc, groups) == 3 * GIB
    allow(groups / "a" / "b", GIB, 2 * GIB)
    assert available_bytes(proc, groups) == 0


def test_a_container_that_sees_its_group_as_the_root_is_limited(machine):
    proc, groups = machine
    (proc / "self" / "cgroup").write_text("0::/\n")
    allow(groups, 2 * GIB, GIB)
    assert available_bytes(proc, groups) == GIB


def test_the_address_space_counts():
    code = "from tasks.memory import available_bytes; print(available_bytes())"
    limit = 2**31

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, preexec_fn=limited)
    assert 2**30 < int(done.stdout) < limit


def test_this_machine_has_some():
    total = next(int(w.split()[1]) for w in open("/proc/meminfo") if w.startswith("MemTotal"))  # noqa: SIM115, PTH123
    assert 0 < available_bytes() <= total * 1024
