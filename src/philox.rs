//! Philox 4x32-10, the counter-based random number generator.
//!
//! A counter and a key go in, four random words come out; there is no state to carry, so a number
//! depends on *what it is for* (seed, epoch, sample, element) and never on threads or order.
//!
//! Source: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3",
//! SC 2011, section 3.3; the constants and test vectors are those of their Random123 library.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: u32 = 10;

/// Four random words for `counter` under `key`. A bijection of the counter for every key.
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c0);
        let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c2);
        c0 = (p1 >> 32) as u32 ^ c1 ^ k0;
        c1 = p1 as u32;
        c2 = (p0 >> 32) as u32 ^ c3 ^ k1;
        c3 = p0 as u32;
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [c0, c1, c2, c3]
}

/// How many blocks [`philox4x32_blocks`] computes.
pub const BLOCKS: usize = 16;

/// The words of the `BLOCKS` blocks under counters `[block, rest...]`, `[block + 1, rest...]` ...:
/// what [`philox4x32`] gives, one round of all blocks at a time, which the compiler vectorises.
pub fn philox4x32_blocks(block: u32, rest: [u32; 3], key: [u32; 2]) -> [u32; 4 * BLOCKS] {
    let mut c0: [u32; BLOCKS] = std::array::from_fn(|i| block.wrapping_add(i as u32));
    let [mut c1, mut c2, mut c3] = rest.map(|word| [word; BLOCKS]);
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        for i in 0..BLOCKS {
            let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c0[i]);
            let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c2[i]);
            c0[i] = (p1 >> 32) as u32 ^ c1[i] ^ k0;
            c1[i] = p1 as u32;
            c2[i] = (p0 >> 32) as u32 ^ c3[i] ^ k1;
            c3[i] = p0 as u32;
        }
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    std::array::from_fn(|i| [c0, c1, c2, c3][i % 4][i / 4])
}

/// A 64-bit seed as a Philox key, low word first.
pub fn key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// A uniform value in [0, 1) from the top 24 bits of `word`: every result is exact in `f32`.
pub fn uniform(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Two independent standard normal values from two words (Box and Muller, 1958):
/// `r cos(2 pi u2)` and `r sin(2 pi u2)` with `r = sqrt(-2 ln u1)` and u1 in (0, 1].
/// With 24-bit uniforms no value is beyond 5.77 standard deviations.
pub fn normal_pair(a: u32, b: u32) -> [f32; 2] {
    // 1 - u lies in (0, 1], so that the logarithm is finite.
    let radius = (-2.0 * (1.0 - f64::from(uniform(a))).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * f64::from(uniform(b))).sin_cos();
    [(radius * cos) as f32, (radius * sin) as f32]
}

/// A sequence of random words: Philox blocks under counters `[block, stream[0], stream[1],
/// stream[2]]`. Two sequences of one seed are independent as long as their `stream`s differ.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    stream: [u32; 3],
    block: u32,
    words: [u32; 4],
    used: usize,
}

impl Stream {
    /// The start of the sequence `stream` of `seed`.
    pub fn new(seed: u64, stream: [u32; 3]) -> Self {
        Stream { key: key(seed), stream, block: 0, words: [0; 4], used: 4 }
    }

    /// The same sequence from its word `4 block` on.
    pub fn from_block(&self, block: u32) -> Self {
        Stream { block, used: 4, ..self.clone() }
    }

    /// The next word. The sequence repeats after 2^34 words.
    pub fn word(&mut self) -> u32 {
        if self.used == 4 {
            let [a, b, c] = self.stream;
            self.words = philox4x32([self.block, a, b, c], self.key);
            self.block = self.block.wrapping_add(1);
            self.used = 0;
        }
        let word = self.words[self.used];
        self.used += 1;
        word
    }

    /// The next value, uniform in [0, 1).
    pub fn uniform(&mut self) -> f32 {
        uniform(self.word())
    }

    /// The next value, uniform in [-1, 1).
    pub fn signed(&mut self) -> f32 {
        2.0 * self.uniform() - 1.0
    }

    /// The next integer, uniform in `0..n` without bias (D. Lemire, "Fast Random Integer
    /// Generation in an Interval", 2019); 0 where `n` is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        let mut product = u64::from(self.word()) * u64::from(n);
        if (product as u32) < n {
            // n is not 0 here, for no word is less than 0.
            let threshold = n.wrapping_neg() % n;
            while (product as u32) < threshold {
                product = u64::from(self.word()) * u64::from(n);
            }
        }
        (product >> 32) as u32
    }

    /// Puts `items` in random order (Fisher and Yates). At most 2^32 - 1 items.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u32 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_can_be_entered_at_any_block() {
        let mut whole = Stream::new(5, [1, 2, 3]);
        let words: Vec<_> = (0..40).map(|_| whole.word()).collect();
        for block in 0..10 {
            let mut later = whole.from_block(block);
            let words = &words[4 * block as usize..];
            assert!(words.iter().all(|&word| word == later.word()), "block {block}");
        }
    }

    #[test]
    fn published_vectors() {
        // Random123, tests/kat_vectors, the lines `philox4x32 10`.
        let vectors = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in vectors {
            assert_eq!(philox4x32(counter, key), expected, "counter {counter:08x?}");
        }
    }

    #[test]
    fn many_blocks_are_the_single_ones() {
        let (rest, key) = ([0x85a3_08d3, 0x1319_8a2e, 7], [0xa409_3822, 0x299f_31d0]);
        // The counter wraps among these blocks.
        let first = u32::MAX - 5;
        let words = philox4x32_blocks(first, rest, key);
        for (i, words) in words.chunks(4).enumerate() {
            let counter = [first.wrapping_add(i as u32), rest[0], rest[1], rest[2]];
            assert_eq!(words, philox4x32(counter, key), "block {i}");
        }
    }

    #[test]
    fn uniform_stays_below_one() {
        assert_eq!(uniform(0), 0.0);
        assert_eq!(uniform(255), 0.0);
        assert_eq!(uniform(256), 1.0 / 16_777_216.0);
        assert_eq!(uniform(u32::MAX), 1.0 - 1.0 / 16_777_216.0);
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut stream = Stream::new(0x0123_4567_89ab_cdef, [1, 2, 3]);
        let n = 200_000;
        let (mut sum, mut squares) = (0f64, 0f64);
        let (mut normal_sum, mut normal_squares, mut normal_fourth, mut product) = (0., 0., 0., 0.);
        for _ in 0..n {
            let (a, b) = (stream.word(), stream.word());
            let u = f64::from(uniform(a));
            sum += u;
            squares += u * u;
            let [x, y] = normal_pair(a, b).map(f64::from);
            assert!(x.is_finite() && y.is_finite());
            normal_sum += x + y;
            normal_squares += x * x + y * y;
            normal_fourth += x.powi(4) + y.powi(4);
            product += x * y;
        }
        // Five standard errors each.
        let n = f64::from(n);
        let near = |value: f64, expected: f64, deviation: f64| {
            assert!((value - expected).abs() < 5.0 * deviation / n.sqrt(), "{value} {expected}");
        };
        near(sum / n, 0.5, (1f64 / 12.0).sqrt());
        near(squares / n, 1.0 / 3.0, (4f64 / 45.0).sqrt());
        near(normal_sum / (2.0 * n), 0.0, 1.0 / 2f64.sqrt());
        near(normal_squares / (2.0 * n), 1.0, 1.0);
        near(normal_fourth / (2.0 * n), 3.0, 96f64.sqrt() / 2f64.sqrt());
        near(product / n, 0.0, 1.0);
    }

    #[test]
    fn normal_is_finite_at_the_extremes() {
        for a in [0, u32::MAX] {
            for b in [0, u32::MAX] {
                assert!(normal_pair(a, b).iter().all(|v| v.is_finite() && v.abs() < 5.8));
            }
        }
    }

    #[test]
    fn below_is_even_and_in_range() {
        let mut stream = Stream::new(7, [0; 3]);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[stream.below(7) as usize] += 1;
        }
        // Chi-squared with 6 degrees of freedom passes 27.9 once in 10,000 seeds.
        let chi: f64 = counts.iter().map(|&c| (f64::from(c) - 1e4).powi(2) / 1e4).sum();
        assert!(chi < 27.9, "{counts:?}");
        assert_eq!(stream.below(0), 0);
        assert_eq!(stream.below(1), 0);
    }

    #[test]
    fn shuffle_permutes() {
        let mut items: Vec<u32> = (0..1000).collect();
        Stream::new(3, [9, 0, 0]).shuffle(&mut items);
        let fixed = items.iter().enumerate().filter(|&(i, &v)| i == v as usize).count();
        assert!(fixed < 10, "{fixed} items did not move");
        items.sort_unstable();
        assert!(items.iter().copied().eq(0..1000));
    }

    #[test]
    fn streams_differ_by_seed_and_by_name() {
        let first = |seed, stream| Stream::new(seed, stream).word();
        let base = first(1, [0, 0, 0]);
        for other in
            [(2, [0, 0, 0]), (1 << 32 | 1, [0; 3]), (1, [1, 0, 0]), (1, [0, 1, 0]), (1, [0, 0, 1])]
        {
            assert_ne!(base, first(other.0, other.1), "{other:?}");
        }
    }
}
