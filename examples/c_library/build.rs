//! Compiles the C library.

fn main() {
    println!("cargo::rerun-if-changed=picture.c");
    let mut build = cc::Build::new();
    // As it is written: what an optimiser makes of errors is different from compiler to compiler.
    build.opt_level(0);
    // Some compilers (zig) then add checks, whose library nobody links here.
    build.flag_if_supported("-fno-sanitize=undefined");
    build.file("picture.c").warnings(true).extra_warnings(true).compile("picture");
}
