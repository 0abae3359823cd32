//! What the kernel says of the machine: its processor, and the memory that it has for this process.

use std::path::Path;

use super::{number_after, read};

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// The model name of the processor, or the architecture where the kernel has none.
pub(crate) fn cpu_name() -> String {
    name_in(&read("/proc/cpuinfo"))
}

/// Memory of the machine in bytes, or of the control group that holds the process where that is less.
/// It is never unknown: a container may show a smaller `/proc/meminfo`, and without one the kernel's own
/// count is asked for.
pub(crate) fn memory_bytes() -> u64 {
    let shown = number_after(&read("/proc/meminfo"), "MemTotal:").map(|kib| kib * 1024);
    let machine = shown.unwrap_or_else(counted);
    let limit = group_limit(Path::new(GROUPS), &read("/proc/self/cgroup"));
    limit.map_or(machine, |limit| limit.min(machine))
}

fn counted() -> u64 {
    let system = rustix::system::sysinfo();
    system.totalram * u64::from(system.mem_unit)
}

fn name_in(cpuinfo: &str) -> String {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == "model name")
        .map_or_else(
            || std::env::consts::ARCH.to_owned(),
            |(_, name)| name.trim().to_owned(),
        )
}

/// The least memory that a control group of `membership` (the text of `/proc/self/cgroup`) or one above
/// it may take, of either version. A container has its own group as the root.
fn group_limit(root: &Path, membership: &str) -> Option<u64> {
    let limits = membership.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        let (mount, file) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            return None;
        };
        let group = Path::new(group.trim_start_matches('/'));
        let limit = |group: &Path| read(mount.join(group).join(file)).trim().parse().ok();
        group.ancestors().filter_map(limit).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_cpu_is_its_model_name() {
        let text = "processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7543\nprocessor\t: 1\n";
        assert_eq!(name_in(text), "AMD EPYC 7543");
        assert_eq!(name_in("processor : 0\n"), std::env::consts::ARCH);
    }

    #[test]
    fn the_least_limit_of_a_control_group_and_those_above_it_counts() {
        let root = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("user/job/memory.max", "3000\n");
        put("user/memory.max", "2000\n");
        put("memory.max", "max\n");
        put("memory/memory.limit_in_bytes", "9223372036854771712\n");
        put("memory/box/memory.limit_in_bytes", "1000\n");

        let limit = |membership: &str| group_limit(root.path(), membership);
        assert_eq!(limit("0::/user/job\n"), Some(2000));
        assert_eq!(limit("0::/\n"), None);
        assert_eq!(limit("9:name=systemd:/box\n1:cpu:/box\n0::/\n"), None);
        assert_eq!(limit("4:cpu,memory:/box\n0::/user/job\n"), Some(1000));
        // The group's own name outside the container, where only the root is mounted.
        assert_eq!(
            limit("4:memory:/docker/1f\n"),
            Some(9_223_372_036_854_771_712)
        );
        assert_eq!(limit("nonsense"), None);
    }

    #[test]
    fn the_memory_of_this_machine_is_known() {
        assert!(memory_bytes() > 0 && counted() > 0);
    }
}
