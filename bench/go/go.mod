module ctxbridge.dev/bench

go 1.19
