//! CRC32C (Castagnoli), computed in groups of eight bytes. Byte by byte, the longest header would need more than two microseconds.

/// The reflected polynomial.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[n][b]` is the effect of the byte `b` when `n` bytes follow it in its group of eight.
static TABLES: [[u32; 256]; 8] = tables();

/// Returns the CRC32C of all parts in their order.
pub(super) fn crc32c(parts: &[&[u8]]) -> u32 {
    !parts.iter().fold(!0, |crc, part| update(crc, part))
}

fn update(mut crc: u32, bytes: &[u8]) -> u32 {
    let (groups, rest) = bytes.as_chunks::<8>();
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
    for [a, b, c, d, e, f, g, h] in groups {
        let [w, x, y, z] = (crc ^ u32::from_le_bytes([*a, *b, *c, *d])).to_le_bytes();
        crc = at(t7, w) ^ at(t6, x) ^ at(t5, y) ^ at(t4, z);
        crc ^= at(t3, *e) ^ at(t2, *f) ^ at(t1, *g) ^ at(t0, *h);
    }
    for byte in rest {
        let [low, ..] = crc.to_le_bytes();
        crc = (crc >> 8) ^ at(t0, low ^ byte);
    }
    crc
}

/// Returns the entry of a byte. The table has an entry for every byte, and the compiler removes the bounds check.
fn at(table: &[u32; 256], byte: u8) -> u32 {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler: an index out of bounds does not compile"
)]
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (POLYNOMIAL * (crc & 1));
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[n - 1][byte];
            tables[n][byte] = (crc >> 8) ^ tables[0][(crc & 0xff) as usize];
            byte += 1;
        }
        n += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes the CRC bit by bit, as in its definition.
    fn naive(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (POLYNOMIAL * (crc & 1))
            })
        })
    }

    #[test]
    fn the_crc_is_castagnolis_for_every_division_into_parts() {
        assert_eq!(crc32c(&[b"123456789"]), 0xe306_9283);
        let bytes: Vec<u8> = (0..1_040_u32).map(|n| (n * 7 % 251) as u8).collect();
        for length in (0..80).chain([1_023, 1_040]) {
            let expected = naive(&bytes[..length]);
            assert_eq!(crc32c(&[&bytes[..length]]), expected, "{length} bytes");
            let (first, second) = bytes[..length].split_at(length / 3);
            assert_eq!(crc32c(&[first, second]), expected, "{length} bytes in two");
        }
    }
}
