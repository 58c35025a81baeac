//! The body of the fuzz target `signature`.

mod recipe;

use super::file::Unnamed;
use arbitrary::{Arbitrary, Unstructured};
use kmod::object::signature::{IdType, TRAILER_LENGTH, appended_length};
use kmod::object::{Limits, Module, Signature};
use recipe::Recipe;

/// The first byte of a structured input; any other input is the end of a signed file.
const STRUCTURED: u8 = b'S';

/// The input is a file with a signature, or `S` and the parameters of one.
///
/// # Panics
/// Panics if a promise about signatures is broken, or if a file in memory cannot be created.
pub fn signature(data: &[u8]) {
    let Some((&STRUCTURED, bytes)) = data.split_first() else {
        check_any_file(data);
        return;
    };
    let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let mut file = recipe.file();
    match Signature::parse(&file) {
        Some(signature) => assert_eq!(signature, recipe.expected(), "the parsed signature differs"),
        None => panic!("a valid signature is rejected: {recipe:?}"),
    }
    check_any_file(&file);
    recipe.damage(&mut file);
    check_any_file(&file);
}

/// For all files: signer and signature are within the appended bytes, and the end of the file suffices.
fn check_any_file(file: &[u8]) {
    let length = appended_length(file);
    let parsed = Signature::parse(file);
    let Some(signature) = &parsed else { return };
    let Some(length) = length.and_then(|length| usize::try_from(length).ok()) else {
        panic!("a signature has no length")
    };
    assert!((TRAILER_LENGTH..=file.len()).contains(&length), "the signature is longer than the file");
    let end = &file[file.len() - length..];
    let block = &end[..length - TRAILER_LENGTH];
    for part in [signature.signer, signature.bytes] {
        let is_inside = part.is_empty() || block.as_ptr_range().contains(&part.as_ptr());
        assert!(is_inside && part.len() <= block.len(), "a part is outside of the appended bytes");
    }
    assert!(signature.key.len() <= block.len() && !signature.signer.contains(&0));
    let numbers = |hash: &str| hash.split('.').all(|number| number.parse::<u128>().is_ok());
    assert!(signature.hash.bytes().any(|byte| byte.is_ascii_alphabetic()) || numbers(&signature.hash));
    assert!(signature.id_type == IdType::Pkcs7 || signature.signer.len() <= 255 && signature.key.len() <= 255);

    // The result is the same after other bytes, cut to the exact length, and in a file.
    assert_eq!(Signature::parse(end).as_ref(), Some(signature), "the end of the file does not suffice");
    assert_eq!(appended_length(&file[file.len() - TRAILER_LENGTH..]), Some(length as u64));
    let longer = [b"something else", file].concat();
    assert_eq!(Signature::parse(&longer).as_ref(), Some(signature), "the bytes before the signature change it");
    assert_eq!(Signature::parse(&end[1..]), None, "a truncated signature is accepted");
    let in_memory = Unnamed::new(&longer);
    let module = Module::open(&in_memory.path(), &Limits::default());
    let module = module.unwrap_or_else(|error| panic!("a file in memory is rejected: {error}"));
    let bytes = module.signature_bytes().unwrap_or_else(|error| panic!("the end of the file cannot be read: {error}"));
    assert_eq!(bytes.as_deref(), Some(end), "the end read from a file differs");
}
