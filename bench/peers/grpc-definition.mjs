const same = (bytes) => bytes

/** One method that never answers by itself. */
export const definition = {
  watch: {
    path: '/Bench/Watch',
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  },
}
