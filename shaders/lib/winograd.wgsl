// The transforms of Winograd convolution F(TILE x TILE, 3 x 3), along one axis:
//     output = A^T ((G weight) * (B^T input))     * element by element
// Along both axes each is done to the rows and then to the columns. TILE is 2 or 4; a line has TILE + 2
// elements, and the rest of it is 0.
// Source: Lavin & Gray 2015, "Fast algorithms for convolutional neural networks".
const TILE: u32 = 2u;
const SIDE: u32 = TILE + 2u;

alias Line = array<f32, 6>;

// B^T d
//     F(2, 3):  1  0 -1  0     F(4, 3):  4  0 -5  0  1  0
//               0  1  1  0               0 -4 -4  1  1  0
//               0 -1  1  0               0  4 -4 -1  1  0
//               0  1  0 -1               0 -2 -1  2  1  0
//                                        0  2 -1 -2  1  0
//                                        0  4  0 -5  0  1
fn input_line(d: Line) -> Line {
    if TILE == 2u {
        return Line(d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3], 0.0, 0.0);
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
fn weight_line(g: vec3<f32>) -> Line {
    if TILE == 2u {
        let even = g.x + g.z;
        return Line(g.x, 0.5 * (even + g.y), 0.5 * (even - g.y), g.z, 0.0, 0.0);
    }
    const SIXTH: f32 = 1.0 / 6.0;
    let even = g.x + g.z;
    let near = 0.25 * g.x + g.z;
    return Line(
        0.25 * g.x,
        -SIXTH * (even + g.y),
        -SIXTH * (even - g.y),
        SIXTH * (near + 0.5 * g.y),
        SIXTH * (near - 0.5 * g.y),
        g.z,
    );
}

// A^T m, the first TILE of the elements
//     F(2, 3):  1  1  1  0     F(4, 3):  1  1  1  1  1  0
//               0  1 -1 -1               0  1 -1  2 -2  0
//                                        0  1  1  4  4  0
//                                        0  1 -1  8 -8  1
fn output_line(m: Line) -> vec4<f32> {
    if TILE == 2u {
        return vec4(m[0] + m[1] + m[2], m[1] - m[2] - m[3], 0.0, 0.0);
    }
    let even = m[1] + m[2];
    let odd = m[1] - m[2];
    let far_even = m[3] + m[4];
    let far_odd = m[3] - m[4];
    return vec4(
        m[0] + even + far_even,
        odd + 2.0 * far_odd,
        even + 4.0 * far_even,
        odd + 8.0 * far_odd + m[5],
    );
}
