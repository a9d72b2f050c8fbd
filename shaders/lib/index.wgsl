// The place of an invocation in a grid that may have two rows, because one axis of a grid holds at
// most 65,535 workgroups. Workgroups are (width, 1, 1).

// The index of the workgroup, counted along x and then along y.
fn flat_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

// The index of the invocation, counted along x and then along y.
fn flat_thread(global: vec3<u32>, groups: vec3<u32>, width: u32) -> u32 {
    return global.y * groups.x * width + global.x;
}
