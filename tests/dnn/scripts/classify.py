# Net: inception
import cv2
import numpy as np

image = np.random.RandomState(0).randint(0, 256, (30, 40, 3)).astype(np.uint8)
net = cv2.dnn.readNetFromCaffe("net.prototxt", "net.caffemodel")
blob = cv2.dnn.blobFromImages([image, image[::-1].copy()], 1 / 64, (8, 8), (104, 117, 123))
net.setInput(blob)
predictions = net.forward()
order = np.argsort(predictions[0])[::-1][:3]
for place, index in enumerate(order):
    print(f"{place + 1}. label {index}, probability {predictions[0][index]:.5}")
result = predictions
