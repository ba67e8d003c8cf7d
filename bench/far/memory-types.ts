/** What the process that measures memory can keep many of. */
export type Kept =
  | 'cancel'
  | 'timeout'
  | 'value'
  | 'signal'
  | 'controller'
  | 'controller, listened to'
  | 'call'
  | 'connection'
  | 'exported'
  | 'exporter'
  | 'importer'
  | 'slots'
