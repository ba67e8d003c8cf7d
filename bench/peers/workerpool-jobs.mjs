import workerpool from 'workerpool'
import run from './pool-jobs.mjs'

workerpool.worker({ run })
