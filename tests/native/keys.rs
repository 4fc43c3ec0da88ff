//! Masking keys and nonces of the client, as a server sees them: nobody must be able to guess one.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tidegate::Client;
use tidegate::proto::ws::{FrameHeader, Opcode, Role};

use crate::block_on;
use crate::hostile::serve_once;
use crate::raw::{accept, field, read_head};

/// Enough that chance and order can be told apart.
const MESSAGES: usize = 400;

/// What a server sees of one connection: the key of its handshake, and its masking keys.
fn connection() -> (String, Vec<u32>) {
    let (tell, told) = std::sync::mpsc::channel();
    let port = serve_once(move |mut stream| {
        let head = read_head(&mut stream);
        stream.write_all(&accept(&head)).unwrap();
        let keys = read_keys(&mut stream);
        stream.write_all(b"\x88\x02\x03\xe8").unwrap();
        tell.send((field(&head, "Sec-WebSocket-Key").unwrap().to_owned(), keys)).unwrap();
    });
    block_on(async {
        let client = Client::builder(format!("ws://127.0.0.1:{port}/")).connect().await.unwrap();
        for _ in 0..MESSAGES {
            client.send("the same each time").await.unwrap();
        }
        client.close(1000, "").await.unwrap();
    });
    told.recv().unwrap()
}

/// The keys of all frames up to a close.
fn read_keys(stream: &mut TcpStream) -> Vec<u32> {
    let (mut keys, mut bytes, mut piece) = (Vec::new(), Vec::new(), [0; 4_096]);
    loop {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "it closes before it goes");
        bytes.extend_from_slice(&piece[..n]);
        while let Some((header, used)) = FrameHeader::decode(&bytes, Role::Server).unwrap() {
            let len = used + usize::try_from(header.len).unwrap();
            if bytes.len() < len {
                break;
            }
            keys.push(u32::from_be_bytes(header.mask.unwrap()));
            bytes.drain(..len);
            if header.opcode == Opcode::Close {
                return keys;
            }
        }
    }
}

#[test]
fn b63_keys_and_nonces_are_fresh_and_in_no_order() {
    let seen = [connection(), connection(), connection()];
    let mut nonces = HashSet::new();
    let mut all: HashSet<u32> = HashSet::new();
    for (nonce, keys) in &seen {
        assert_eq!(keys.len(), MESSAGES + 1, "one for each frame, the close with them");
        // 16 bytes in base64, and never the same.
        assert!(nonce.len() == 24 && nonce.ends_with("=="), "{nonce}");
        assert!(nonces.insert(nonce), "the same nonce twice");
        all.extend(keys);

        // Neither one key with a bit here and there changed, nor a counter.
        for bit in 0..32 {
            let set = keys.iter().filter(|key| *key >> bit & 1 == 1).count();
            assert!((100..=300).contains(&set), "bit {bit} is set in {set} of {}", keys.len());
        }
        let steps: HashSet<u32> = keys.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        assert!(steps.len() > MESSAGES - 3, "{} different steps", steps.len());
        let changes: HashSet<u32> = keys.windows(2).map(|pair| pair[1] ^ pair[0]).collect();
        assert!(changes.len() > MESSAGES - 3, "{} different changes", changes.len());
    }
    // Of 1,203 random numbers of 32 bits, two are alike once in six thousand runs; four never.
    assert!(all.len() > 3 * MESSAGES, "{} different keys", all.len());
    assert_ne!(seen[0].1, seen[1].1, "two connections have keys of their own");
}
