import Sequencer from '@jest/test-sequencer'

/** The folders of test/, by how long their files take. */
const longestFirst = ['endurance', 'fault', 'integration', 'conformance', 'unit', 'rules']
const rankOf = ({ context }) => longestFirst.indexOf(context.config.displayName.name)

/** What takes long begins first, so that no worker is alone with it at the end; within a folder the order is jest's own. */
export default class LongestFirst extends Sequencer {
  sort(tests) {
    return super.sort([...tests]).sort((a, b) => rankOf(a) - rankOf(b))
  }
}
