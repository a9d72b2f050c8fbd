// Where the elements of a box lie in a tensor with strides. The shader that imports this declares
// RANK, the number of axes from 1 to 6; the extents d and the strides s of fewer are those of the last
// axes. The first axis needs no extent.

fn strided_offset(
    index: u32,
    d1: u32,
    d2: u32,
    d3: u32,
    d4: u32,
    d5: u32,
    s0: u32,
    s1: u32,
    s2: u32,
    s3: u32,
    s4: u32,
    s5: u32,
) -> u32 {
    if RANK == 1u {
        return index * s5;
    }
    var rest = index / d5;
    var offset = (index - rest * d5) * s5;
    if RANK == 2u {
        return offset + rest * s4;
    }
    var above = rest / d4;
    offset += (rest - above * d4) * s4;
    if RANK == 3u {
        return offset + above * s3;
    }
    rest = above / d3;
    offset += (above - rest * d3) * s3;
    if RANK == 4u {
        return offset + rest * s2;
    }
    above = rest / d2;
    offset += (rest - above * d2) * s2;
    if RANK == 5u {
        return offset + above * s1;
    }
    rest = above / d1;
    return offset + (above - rest * d1) * s1 + rest * s0;
}
