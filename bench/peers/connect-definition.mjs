import { create, createFileRegistry } from '@bufbuild/protobuf'
import {
  EmptySchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_empty,
} from '@bufbuild/protobuf/wkt'

const empty = '.google.protobuf.Empty'
const file = create(FileDescriptorProtoSchema, {
  name: 'bench.proto',
  syntax: 'proto3',
  dependency: ['google/protobuf/empty.proto'],
  service: [{ name: 'Bench', method: ['Watch', 'Hold', 'Go'].map((name) => ({ name, inputType: empty, outputType: empty })) }],
})
const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file_google_protobuf_empty.proto, file] }))

/** `watch` never answers by itself; `hold` does when `go` is called. */
export const Bench = registry.getService('Bench')
export const nothing = () => create(EmptySchema)
