//! The body of the fuzz target `signature`.

mod recipe;

use super::file::Unnamed;
use arbitrary::{Arbitrary, Unstructured};
use kmod::object::signature::{IdType, TRAILER_LENGTH, appended_length};
use kmod::object::{Limits, Module, Signature};
use recipe::Recipe;

/// What a structured input begins with; everything else is the end of a signed file.
const STRUCTURED: u8 = b'S';

/// The input is a file with a signature, or `S` and the making of one.
///
/// # Panics
/// When a promise about signatures is broken, or when no file can be made in memory.
pub fn signature(data: &[u8]) {
    let Some((&STRUCTURED, bytes)) = data.split_first() else {
        hostile(data);
        return;
    };
    let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let mut file = recipe.file();
    match Signature::parse(&file) {
        Some(signature) => assert_eq!(signature, recipe.expected(), "what was put in is not what comes out"),
        None => panic!("a signature as a signer makes it is refused: {recipe:?}"),
    }
    hostile(&file);
    recipe.damage(&mut file);
    hostile(&file);
}

/// Whatever the bytes are: what is said lies in them, and their end is enough to say it.
fn hostile(file: &[u8]) {
    let length = appended_length(file);
    let parsed = Signature::parse(file);
    let Some(signature) = &parsed else { return };
    let Some(length) = length.and_then(|length| usize::try_from(length).ok()) else {
        panic!("a signature without a length")
    };
    assert!((TRAILER_LENGTH..=file.len()).contains(&length), "it is longer than the file");
    let end = &file[file.len() - length..];
    let block = &end[..length - TRAILER_LENGTH];
    for part in [signature.signer, signature.bytes] {
        let lies = part.is_empty() || block.as_ptr_range().contains(&part.as_ptr());
        assert!(lies && part.len() <= block.len(), "a part lies outside");
    }
    assert!(signature.key.len() <= block.len() && !signature.signer.contains(&0));
    let numbers = |hash: &str| hash.split('.').all(|number| number.parse::<u128>().is_ok());
    assert!(signature.hash.bytes().any(|byte| byte.is_ascii_alphabetic()) || numbers(&signature.hash));
    assert!(signature.id_type == IdType::Pkcs7 || signature.signer.len() <= 255 && signature.key.len() <= 255);

    // It is the same at the end of anything, cut to what belongs to it, and in a file.
    assert_eq!(Signature::parse(end).as_ref(), Some(signature), "its end is not enough");
    assert_eq!(appended_length(&file[file.len() - TRAILER_LENGTH..]), Some(length as u64));
    let longer = [b"something else", file].concat();
    assert_eq!(Signature::parse(&longer).as_ref(), Some(signature), "what stands before it matters");
    assert_eq!(Signature::parse(&end[1..]), None, "one byte less is no signature");
    let in_memory = Unnamed::new(&longer);
    let module = Module::open(&in_memory.path(), &Limits::default());
    let module = module.unwrap_or_else(|error| panic!("a file in memory is refused: {error}"));
    let bytes = module.signature_bytes().unwrap_or_else(|error| panic!("its end cannot be read: {error}"));
    assert_eq!(bytes.as_deref(), Some(end), "a file's end is another one");
}
