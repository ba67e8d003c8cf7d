/** The worker file of a workerpool. */
import { worker } from 'workerpool'
import { run } from './pool-jobs.ts'

worker({ run })
