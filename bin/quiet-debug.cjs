/**
 * Stands in for the package `debug`, which drivers call some twenty times a message: even switched off it gathers its
 * arguments each time, a kilobyte of garbage a message. Where DEBUG is set the real one is there.
 */
const quiet = () => {}
quiet.enabled = false
quiet.extend = () => quiet
module.exports = process.env.DEBUG ? require('debug') : () => quiet
