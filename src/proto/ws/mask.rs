//! Masking: XOR with a repeated key of four bytes.
//!
//! Not here: making the key. It must come from a cryptographic generator (RFC 6455 §10.3) and is
//! an argument everywhere.

use super::header::{HEADER_WORDS, header_number};

/// XORs `data` in place with `key`, where `data` starts `offset` bytes into the payload.
///
/// `data[i] ^= key[(offset + i) % 4]`; masking twice gives the original. A payload may therefore
/// be masked piece by piece as it arrives or leaves.
///
/// # Specification
///
/// [RFC 6455 §5.3](https://www.rfc-editor.org/rfc/rfc6455#section-5.3).
///
/// # Examples
///
/// ```
/// use tidegate::proto::ws::mask;
/// let mut hello = *b"\x7f\x9f\x4d\x51\x58";
/// mask(&mut hello, [0x37, 0xfa, 0x21, 0x3d], 0);
/// assert_eq!(&hello, b"Hello");
/// ```
#[inline]
pub fn mask(data: &mut [u8], key: [u8; 4], offset: usize) {
    let at = data.as_mut_ptr();
    // SAFETY: the slice is there for reading and writing in its whole length.
    #[allow(unsafe_code, reason = "see `kernel`")]
    unsafe {
        kernel::xor(at, at, data.len(), rotated(key, offset));
    }
}

/// Appends `source` to `target`, masked with `key`, where `source` starts `offset` bytes into the
/// payload, in one pass.
///
/// # Specification
///
/// [RFC 6455 §5.3](https://www.rfc-editor.org/rfc/rfc6455#section-5.3).
#[inline]
pub fn copy_masked(source: &[u8], target: &mut Vec<u8>, key: [u8; 4], offset: usize) {
    target.reserve(source.len());
    let known = target.len();
    // SAFETY: `reserve` has made room for as many bytes behind `known`, which belong to nobody else and
    // do not overlap `source`; all of them are written.
    #[allow(unsafe_code, reason = "see `kernel`")]
    unsafe {
        let to = target.as_mut_ptr().add(known);
        kernel::xor(to, source.as_ptr(), source.len(), rotated(key, offset));
        target.set_len(known + source.len());
    }
}

/// Appends a frame to `target`: the header that begins with `first`, and `payload` masked with `key`.
#[inline]
pub(super) fn append_masked_frame(first: u8, key: [u8; 4], payload: &[u8], target: &mut Vec<u8>) {
    let (head, head_len) = header_number(first, Some(key), payload.len() as u64);
    append(head, head_len, payload, target, u32::from_le_bytes(key));
}

/// The lowest `head_len` bytes of `head`, then `source`, XORed with `key`.
#[inline]
fn append(head: u128, head_len: usize, source: &[u8], target: &mut Vec<u8>, key: u32) {
    let head_len = head_len.min(HEADER_WORDS);
    target.reserve(HEADER_WORDS + source.len());
    let known = target.len();
    // SAFETY: `reserve` has made room for as many bytes behind `known`, which belong to nobody else and
    // do not overlap `source`. The head is written in whole, in one go, and what of it does not count is
    // then overwritten or left behind the end; all that counts is written.
    #[allow(unsafe_code, reason = "see `kernel`")]
    unsafe {
        let to = target.as_mut_ptr().add(known);
        to.cast::<[u8; HEADER_WORDS]>().write(head.to_le_bytes());
        kernel::xor(to.add(head_len), source.as_ptr(), source.len(), key);
        target.set_len(known + head_len + source.len());
    }
}

/// The key as it stands `offset` bytes into the payload, as a little-endian number.
const fn rotated(key: [u8; 4], offset: usize) -> u32 {
    turned(u32::from_le_bytes(key), offset)
}

/// The key as it stands `at` bytes further on.
const fn turned(key: u32, at: usize) -> u32 {
    key.rotate_right(match at % 4 {
        0 => 0,
        1 => 8,
        2 => 16,
        _ => 24,
    })
}

/// The XOR itself, the only `unsafe` of the core.
///
/// Safe code was measured first, by `benches/codec`. Run-time dispatch, which takes a call that the compiler
/// cannot check, brought encoding in place of 16 KiB from 0.37 of the best peer's speed to 1.05; masking
/// while copying brought a kept payload of 16 KiB from 0.39 to 1.1; stores to multiples of their own size
/// brought decoding in place of 64 KiB from 0.75 to 1.09. Vectors of 64 bytes (AVX-512) were no faster.
///
/// All loads of the last, overlapping word come before the first store, so that source and target may be
/// the same.
#[allow(unsafe_code, reason = "see above; Miri runs its tests")]
mod kernel {
    use super::turned;

    /// From here on vectors pay; below, a word at a time does.
    const VECTOR_FROM: usize = 64;

    /// From here on vectors of 64 bytes do.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    const WIDE_VECTOR_FROM: usize = 512;

    /// Puts `len` bytes of `from`, XORed with the bytes of `key` again and again, to `to`.
    ///
    /// # Safety
    ///
    /// `from` is good for reading and `to` for writing `len` bytes; they are the same, or do not overlap.
    #[inline]
    pub(super) unsafe fn xor(to: *mut u8, from: *const u8, len: usize, key: u32) {
        // SAFETY: as the caller says.
        unsafe {
            match len {
                VECTOR_FROM.. => vectors(to, from, len, key),
                16.. => words(to, from, len, key),
                // Two that overlap, without a loop.
                8.. => {
                    let last = len - 8;
                    let head = load(from) ^ doubled(key);
                    let tail = load(from.add(last)) ^ doubled(turned(key, last));
                    store(to, head);
                    store(to.add(last), tail);
                }
                4.. => {
                    let last = len - 4;
                    let head = load_half(from) ^ key;
                    let tail = load_half(from.add(last)) ^ turned(key, last);
                    store_half(to, head);
                    store_half(to.add(last), tail);
                }
                _ => {
                    for (at, key) in key.to_le_bytes().into_iter().enumerate().take(len) {
                        to.add(at).write(from.add(at).read() ^ key);
                    }
                }
            }
        }
    }

    const fn doubled(key: u32) -> u64 {
        (key as u64) << 32 | key as u64
    }

    const fn quadrupled(key: u32) -> u128 {
        (doubled(key) as u128) << 64 | doubled(key) as u128
    }

    unsafe fn load_pair(from: *const u8) -> u128 {
        // SAFETY: the caller has sixteen bytes there; an array has no alignment.
        u128::from_le_bytes(unsafe { from.cast::<[u8; 16]>().read() })
    }

    unsafe fn store_pair(to: *mut u8, pair: u128) {
        // SAFETY: as above.
        unsafe { to.cast::<[u8; 16]>().write(pair.to_le_bytes()) }
    }

    unsafe fn load_half(from: *const u8) -> u32 {
        // SAFETY: the caller has four bytes there; an array has no alignment.
        u32::from_le_bytes(unsafe { from.cast::<[u8; 4]>().read() })
    }

    unsafe fn store_half(to: *mut u8, half: u32) {
        // SAFETY: as above.
        unsafe { to.cast::<[u8; 4]>().write(half.to_le_bytes()) }
    }

    unsafe fn load(from: *const u8) -> u64 {
        // SAFETY: the caller has eight bytes there; an array has no alignment.
        u64::from_le_bytes(unsafe { from.cast::<[u8; 8]>().read() })
    }

    unsafe fn store(to: *mut u8, word: u64) {
        // SAFETY: as above.
        unsafe { to.cast::<[u8; 8]>().write(word.to_le_bytes()) }
    }

    /// At least 16 bytes, two words at a time; the last two overlap those before.
    ///
    /// # Safety
    ///
    /// As [`xor`], and `len >= 16`.
    #[inline]
    pub(super) unsafe fn words(to: *mut u8, from: *const u8, len: usize, key: u32) {
        let last = len - 16;
        // SAFETY: every access lies within `len` bytes, as `at < last` in the loop.
        unsafe {
            let tail = load_pair(from.add(last)) ^ quadrupled(turned(key, last));
            let key = quadrupled(key);
            let mut at = 0;
            while at < last {
                store_pair(to.add(at), load_pair(from.add(at)) ^ key);
                at += 16;
            }
            store_pair(to.add(last), tail);
        }
    }

    /// # Safety
    ///
    /// As [`xor`], and `len >= VECTOR_FROM`.
    #[inline(never)]
    unsafe fn vectors(to: *mut u8, from: *const u8, len: usize, key: u32) {
        // SAFETY: as the caller says; each of them runs only where its instructions are.
        unsafe {
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            if len >= WIDE_VECTOR_FROM && std::arch::is_x86_feature_detected!("avx512f") {
                return avx512(to, from, len, key);
            }
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            if std::arch::is_x86_feature_detected!("avx2") {
                return avx2(to, from, len, key);
            }
            #[cfg(all(target_arch = "aarch64", target_feature = "neon", not(miri)))]
            return neon(to, from, len, key);
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            return simd128(to, from, len, key);
            #[allow(unreachable_code, reason = "where vectors are always there")]
            words(to, from, len, key);
        }
    }

    /// A loop over vectors of `$bytes` bytes, four at a time, to addresses that are multiples of that: a
    /// store that crosses a cache line costs two. The first and the last vector overlap the others, so
    /// that they are loaded before and stored behind all of them.
    #[allow(unused_macros, reason = "where there are no vectors")]
    macro_rules! by_vectors {
        ($to:ident, $from:ident, $len:ident, $key:ident, $bytes:literal, $wide:expr, $load:expr, $xor:expr, $store:expr) => {{
            let last = $len - $bytes;
            let head = $xor($load($from), $wide($key));
            let tail = $xor($load($from.add(last)), $wide(turned($key, last)));
            if $len <= 4 * $bytes {
                // The second and the last but one fill what is between, and no loop is to be begun.
                let second = $xor($load($from.add($bytes)), $wide($key));
                let third = $xor($load($from.add(last - $bytes)), $wide(turned($key, last)));
                $store($to, head);
                $store($to.add($bytes), second);
                $store($to.add(last - $bytes), third);
                $store($to.add(last), tail);
                return;
            }
            let mut at = $to.addr().wrapping_neg() % $bytes;
            let key = $wide(turned($key, at));
            while at + 4 * $bytes <= last {
                let four = [0, 1, 2, 3].map(|n| $xor($load($from.add(at + n * $bytes)), key));
                for (n, vector) in four.into_iter().enumerate() {
                    $store($to.add(at + n * $bytes), vector);
                }
                at += 4 * $bytes;
            }
            while at < last {
                $store($to.add(at), $xor($load($from.add(at)), key));
                at += $bytes;
            }
            $store($to, head);
            $store($to.add(last), tail);
        }};
    }

    /// # Safety
    ///
    /// As [`vectors`], on a processor with AVX-512F.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[target_feature(enable = "avx512f")]
    #[allow(clippy::cast_ptr_alignment, reason = "the unaligned forms of load and store")]
    unsafe fn avx512(to: *mut u8, from: *const u8, len: usize, key: u32) {
        use core::arch::x86_64::{
            __m512i, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_si512, _mm512_xor_si512,
        };
        // SAFETY: every access lies within `len` bytes and none asks for alignment.
        unsafe {
            by_vectors!(
                to,
                from,
                len,
                key,
                64,
                |key: u32| _mm512_set1_epi32(key.cast_signed()),
                |at: *const u8| _mm512_loadu_si512(at.cast::<__m512i>()),
                |a, b| _mm512_xor_si512(a, b),
                |at: *mut u8, vector| _mm512_storeu_si512(at.cast::<__m512i>(), vector)
            );
        }
    }

    /// # Safety
    ///
    /// As [`vectors`], on a processor with AVX2.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[target_feature(enable = "avx2")]
    #[allow(clippy::cast_ptr_alignment, reason = "the unaligned forms of load and store")]
    unsafe fn avx2(to: *mut u8, from: *const u8, len: usize, key: u32) {
        use core::arch::x86_64::{
            __m256i, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_storeu_si256, _mm256_xor_si256,
        };
        // SAFETY: every access lies within `len` bytes and none asks for alignment.
        unsafe {
            by_vectors!(
                to,
                from,
                len,
                key,
                32,
                |key: u32| _mm256_set1_epi32(key.cast_signed()),
                |at: *const u8| _mm256_loadu_si256(at.cast::<__m256i>()),
                |a, b| _mm256_xor_si256(a, b),
                |at: *mut u8, vector| _mm256_storeu_si256(at.cast::<__m256i>(), vector)
            );
        }
    }

    /// # Safety
    ///
    /// As [`vectors`].
    #[cfg(all(target_arch = "aarch64", target_feature = "neon", not(miri)))]
    unsafe fn neon(to: *mut u8, from: *const u8, len: usize, key: u32) {
        use core::arch::aarch64::{vdupq_n_u32, veorq_u8, vld1q_u8, vreinterpretq_u8_u32, vst1q_u8};
        // SAFETY: every access lies within `len` bytes and none asks for alignment.
        unsafe {
            by_vectors!(
                to,
                from,
                len,
                key,
                16,
                |key: u32| vreinterpretq_u8_u32(vdupq_n_u32(key)),
                |at: *const u8| vld1q_u8(at),
                |a, b| veorq_u8(a, b),
                |at: *mut u8, vector| vst1q_u8(at, vector)
            );
        }
    }

    /// # Safety
    ///
    /// As [`vectors`].
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    #[allow(clippy::cast_ptr_alignment, reason = "wasm's loads and stores ask for none")]
    unsafe fn simd128(to: *mut u8, from: *const u8, len: usize, key: u32) {
        use core::arch::wasm32::{u32x4_splat, v128, v128_load, v128_store, v128_xor};
        // SAFETY: every access lies within `len` bytes and none asks for alignment.
        unsafe {
            by_vectors!(
                to,
                from,
                len,
                key,
                16,
                |key: u32| u32x4_splat(key),
                |at: *const u8| v128_load(at.cast::<v128>()),
                |a, b| v128_xor(a, b),
                |at: *mut u8, vector| v128_store(at.cast::<v128>(), vector)
            );
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;

    /// The definition, in one line.
    fn defined(data: &[u8], key: [u8; 4], offset: usize) -> Vec<u8> {
        data.iter().enumerate().map(|(i, byte)| byte ^ key[(offset + i) % 4]).collect()
    }

    #[test]
    fn equals_its_definition_at_every_length_offset_and_alignment() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let data: Vec<u8> = (0..=255).collect();
        for from in 0..8 {
            for len in (0..=80).chain(120..=140).chain(180..=200).chain([240, 247]) {
                let input = &data[from..from + len];
                for offset in [0, 1, 2, 3, 4, 7, usize::MAX - 300] {
                    let expected = defined(input, key, offset);
                    let mut in_place = data.clone();
                    mask(&mut in_place[from..from + len], key, offset);
                    assert_eq!(&in_place[from..from + len], expected);
                    let mut copied = vec![9; from];
                    copy_masked(input, &mut copied, key, offset);
                    assert_eq!(&copied[from..], expected);
                }
            }
        }
    }

    #[test]
    fn words_and_vectors_agree() {
        let data: Vec<u8> = (0..2_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        // Vectors are stored to multiples of their size, so that where the bytes lie matters.
        for from in 0..=32 {
            for len in [64, 65, 95, 96, 127, 128, 160, 161, 192, 300, 1_024, 1_900] {
                for key in [[0x37, 0xfa, 0x21, 0x3d], [0xff, 0, 0, 1]] {
                    let mut by_words = data.clone();
                    let at = by_words[from..].as_mut_ptr();
                    // SAFETY: there are 2,000 bytes, of which 32 at most lie before, and `len` is at least 8.
                    #[allow(unsafe_code, reason = "the kernel is what is tested")]
                    unsafe {
                        kernel::words(at, at, len, rotated(key, 0));
                    }
                    let mut masked = data.clone();
                    mask(&mut masked[from..from + len], key, 0);
                    assert_eq!(masked, by_words);
                    let mut copied = data[..from].to_vec();
                    copied.reserve_exact(2_000);
                    copy_masked(&data[from..from + len], &mut copied, key, 0);
                    assert_eq!(copied, by_words[..from + len]);
                }
            }
        }
    }

    #[test]
    fn pieces_give_the_same_as_the_whole() {
        let key = [1, 2, 3, 4];
        let data: Vec<u8> = (0..100).collect();
        for cut in 0..=data.len() {
            let mut pieces = data.clone();
            let (head, tail) = pieces.split_at_mut(cut);
            mask(head, key, 0);
            mask(tail, key, cut);
            assert_eq!(pieces, defined(&data, key, 0));
        }
    }
}
