// The transforms of Winograd convolution F(TILE x TILE, 3 x 3), along one axis:
//     output = A^T ((G weight) * (B^T input))     * element by element
// Along both axes each is done to the rows and then to the columns. TILE is 2 or 4; a line has TILE + 2
// elements, and the rest of it is 0. Four lines are transformed at a time, a component each.
// Source: Lavin & Gray 2015, "Fast algorithms for convolutional neural networks".
const TILE: u32 = 2u;
const SIDE: u32 = TILE + 2u;

alias Line = array<vec4<f32>, 6>;
alias Outputs = array<vec4<f32>, 4>;

const NONE = vec4<f32>();

// B^T d
//     F(2, 3):  1  0 -1  0     F(4, 3):  4  0 -5  0  1  0
//               0  1  1  0               0 -4 -4  1  1  0
//               0 -1  1  0               0  4 -4 -1  1  0
//               0  1  0 -1               0 -2 -1  2  1  0
//                                        0  2 -1 -2  1  0
//                                        0  4  0 -5  0  1
fn input_line(d: Line) -> Line {
    if TILE == 2u {
        return Line(d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3], NONE, NONE);
    }
    let even = d[4] - 4.0 * d[2];
    let odd = d[3] - 4.0 * d[1];
    let near = d[4] - d[2];
    let twice = 2.0 * (d[3] - d[1]);
    return Line(
        4.0 * d[0] - 5.0 * d[2] + d[4],
        even + odd,
        even - odd,
        near + twice,
        near - twice,
        4.0 * d[1] - 5.0 * d[3] + d[5],
    );
}

// G g
//     F(2, 3):   1    0    0     F(4, 3):   1/4    0     0
//               1/2  1/2  1/2              -1/6  -1/6  -1/6
//               1/2 -1/2  1/2              -1/6   1/6  -1/6
//                0    0    1               1/24  1/12   1/6
//                                          1/24 -1/12   1/6
//                                            0     0     1
fn weight_line(g0: vec4<f32>, g1: vec4<f32>, g2: vec4<f32>) -> Line {
    let even = g0 + g2;
    if TILE == 2u {
        return Line(g0, 0.5 * (even + g1), 0.5 * (even - g1), g2, NONE, NONE);
    }
    const SIXTH: f32 = 1.0 / 6.0;
    let near = 0.25 * g0 + g2;
    return Line(
        0.25 * g0,
        -SIXTH * (even + g1),
        -SIXTH * (even - g1),
        SIXTH * (near + 0.5 * g1),
        SIXTH * (near - 0.5 * g1),
        g2,
    );
}

// A^T m, of which the first TILE are used
//     F(2, 3):  1  1  1  0     F(4, 3):  1  1  1  1  1  0
//               0  1 -1 -1               0  1 -1  2 -2  0
//                                        0  1  1  4  4  0
//                                        0  1 -1  8 -8  1
fn output_line(m: Line) -> Outputs {
    let even = m[1] + m[2];
    let odd = m[1] - m[2];
    if TILE == 2u {
        return Outputs(m[0] + even, odd - m[3], NONE, NONE);
    }
    let far_even = m[3] + m[4];
    let far_odd = m[3] - m[4];
    return Outputs(
        m[0] + even + far_even,
        odd + 2.0 * far_odd,
        even + 4.0 * far_even,
        odd + 8.0 * far_odd + m[5],
    );
}
