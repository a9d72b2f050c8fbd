//! What the oracles share: where each element belongs.

use super::Over;

/// The set and the parameter of an element.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub set: usize,
    pub parameter: usize,
}

/// The places of all elements of a tensor, found from their coordinates.
pub(super) fn places(over: Over, dims: &[usize]) -> Vec<Place> {
    let elements: usize = dims.iter().product();
    let mut coordinates = vec![0; dims.len()];
    let place = |_| {
        let place = place(over, dims, &coordinates);
        for axis in (0..dims.len()).rev() {
            coordinates[axis] += 1;
            if coordinates[axis] < dims[axis] {
                break;
            }
            coordinates[axis] = 0;
        }
        place
    };
    (0..elements).map(place).collect()
}

fn place(over: Over, dims: &[usize], at: &[usize]) -> Place {
    match over {
        Over::Batch => Place { set: at[1], parameter: at[1] },
        Over::Groups(groups) => {
            let group = at[1] / (dims[1] / groups);
            Place { set: at[0] * groups + group, parameter: at[1] }
        }
        Over::Last(axes) => {
            let first = dims.len() - axes;
            let flat = |axes: std::ops::Range<usize>| axes.fold(0, |i, a| i * dims[a] + at[a]);
            Place { set: flat(0..first), parameter: flat(first..dims.len()) }
        }
    }
}
