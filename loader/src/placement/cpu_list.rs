//! Sets of CPUs as the kernel writes them: `0-3,8`.

/// The CPUs of a list, ascending; `None` when it is none.
#[must_use]
pub(crate) fn read(list: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for range in list.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last > MOST {
            return None;
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

/// More than any kernel has: the end of a range that is believed.
const MOST: usize = 65_535;

/// The list of these CPUs, which ascend.
#[must_use]
pub(crate) fn write(cpus: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => ranges.push((cpu, cpu)),
        }
    }
    let range = |(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written_as_the_kernel_does() {
        for list in ["0", "0-3", "0-3,8", "1,3,5-6", ""] {
            assert_eq!(write(&read(list).unwrap()), list);
        }
        assert_eq!(read("2,0-1,1"), Some(vec![0, 1, 2]));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["a", "3-1", "1-", "-1", "0-99999999"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
