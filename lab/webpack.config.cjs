// The builder's usual ids of modules depend on the folder that holds the sources, so that no two machines build the same.
module.exports = { optimization: { moduleIds: 'natural', chunkIds: 'natural' } };
