"""A data layer: noisy images with stripes; the class is their direction and colour."""

import ast

import caffe
import numpy as np


class Stripes(caffe.Layer):
    def setup(self, bottom, top):
        params = ast.literal_eval(self.param_str)
        self.batch_size = params["batch_size"]
        self.classes = params["classes"]
        self.random = np.random.RandomState(7)
        if len(top) != 2:
            raise Exception("Need to define two tops: data and label.")
        if len(bottom) != 0:
            raise Exception("Do not define a bottom.")

    def reshape(self, bottom, top):
        top[0].reshape(self.batch_size, 3, 8, 8)
        top[1].reshape(self.batch_size)

    def forward(self, bottom, top):
        labels = self.random.randint(0, self.classes, self.batch_size)
        for i, label in enumerate(labels):
            image = 0.3 * self.random.randn(3, 8, 8)
            wave = np.where(np.arange(8) % 4 < 2, 1.0, -1.0)
            image[label // 2] += 1 + (wave[:, None] if label % 2 else wave[None, :])
            top[0].data[i] = image
        top[1].data[...] = labels

    def backward(self, top, propagate_down, bottom):
        pass
