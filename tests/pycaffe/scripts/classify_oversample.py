"""A Classifier with a mean and ten crops of each image, checked against the crops one by one."""

import caffe
import numpy as np

with open("tiny.prototxt", "w") as f:
    f.write("""
name: "tiny"
input: "data" input_dim: 10 input_dim: 3 input_dim: 12 input_dim: 12
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 5 weight_filler { type: "gaussian" std: 0.02 } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "prob" type: "Softmax" bottom: "pool" top: "prob" }
""")
caffe.Net("tiny.prototxt", caffe.TEST).save("tiny.caffemodel")

mean = np.array([104.0, 117.0, 123.0])
net = caffe.Classifier("tiny.prototxt", "tiny.caffemodel", mean=mean, channel_swap=(2, 1, 0), raw_scale=255,
                       image_dims=(16, 18))
random = np.random.RandomState(0)
images = [random.rand(16, 18, 3), random.rand(16, 18, 3), random.rand(33, 29, 3)]
prediction = net.predict(images)
assert prediction.shape == (3, 4)
assert np.allclose(prediction.sum(1), 1, atol=1e-5)
assert net.predict(images, oversample=False).shape == (3, 4)

plain = caffe.Net("tiny.prototxt", "tiny.caffemodel", caffe.TEST)
plain.blobs["data"].reshape(1, 3, 12, 12)
crops = [images[0][y : y + 12, x : x + 12] for y, x in [(0, 0), (0, 6), (4, 0), (4, 6), (2, 3)]]
crops += [crop[:, ::-1] for crop in crops]
answers = []
for crop in crops:
    blob = (crop * 255).transpose(2, 0, 1)[[2, 1, 0]] - mean[:, None, None]
    answers.append(plain.forward(data=blob[None])["prob"].ravel().copy())
assert np.allclose(np.mean(answers, axis=0), prediction[0], atol=1e-5)

transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
transformer.set_transpose("data", (2, 0, 1))
transformer.set_mean("data", mean)
transformer.set_raw_scale("data", 255)
transformer.set_channel_swap("data", (2, 1, 0))
back = transformer.deprocess("data", transformer.preprocess("data", crops[0]))
assert np.allclose(back, crops[0], atol=1e-5)
