"""The commands of `proganomaly`: one module each with `main(argv) -> exit code`, imported when called."""
