const same = (bytes) => bytes

function unary(name) {
  return {
    path: `/Bench/${name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  }
}

/** `watch` never answers by itself; `hold` does when `go` is called. */
export const definition = { watch: unary('Watch'), hold: unary('Hold'), go: unary('Go') }
