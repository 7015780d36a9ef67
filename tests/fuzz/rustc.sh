#!/bin/sh
# Stands before rustc (RUSTC_WORKSPACE_WRAPPER): adds what libFuzzer follows to the crates whose parsers
# are fuzzed. Their dependencies are built as ever, so burn need not be compiled a second time.
case " $* " in
*" --crate-name sprat_model "* | *" --crate-name sprat_route "* | *" --crate-name sprat_fuzz "*)
	exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
		-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
		-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
	;;
*)
	exec "$@"
	;;
esac
